#include "text.h"

#include <stdlib.h>
#include <string.h>

extern const char *const dictionary[];
extern const unsigned long dictionary_size;

static int compare(const void *word, const void *entry) { return strcmp(word, *(const char *const *)entry); }

int main(void)
{
	char word[64];

	while (next_word(stdin, word, sizeof word)) {
		if (bsearch(word, dictionary, dictionary_size, sizeof dictionary[0], compare) == NULL)
			puts(word);
	}
	return 0;
}
