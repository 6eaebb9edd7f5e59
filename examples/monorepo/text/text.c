#include "text.h"

#include <ctype.h>

int next_word(FILE *in, char *word, size_t size)
{
	size_t n = 0;
	int c;

	while ((c = getc(in)) != EOF) {
		if (isalpha(c)) {
			if (n + 1 < size)
				word[n++] = (char)tolower(c);
		} else if (n > 0) {
			break;
		}
	}
	word[n] = '\0';
	return n > 0;
}
