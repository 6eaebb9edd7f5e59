#include "text.h"

#include <string.h>

int main(void)
{
	static const char *want[] = { "the", "cat", "s", "hat" };
	char word[8];
	size_t n = 0;
	FILE *in = tmpfile();

	if (in == NULL || fputs("The cat's -- hat", in) == EOF)
		return 2;
	rewind(in);
	for (; next_word(in, word, sizeof word); n++) {
		if (n == 4 || strcmp(word, want[n]) != 0) {
			fprintf(stderr, "word %zu is \"%s\"\n", n, word);
			return 1;
		}
	}
	if (n != 4)
		fprintf(stderr, "%zu words, want 4\n", n);
	return n != 4;
}
