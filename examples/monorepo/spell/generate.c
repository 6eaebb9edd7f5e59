#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 10000, LENGTH = 64 };

static char words[MOST][LENGTH];

static int compare(const void *a, const void *b) { return strcmp(a, b); }

/* Turns lines of words into a sorted array. */
int main(void)
{
	size_t n = 0, i;

	while (n < MOST && fgets(words[n], LENGTH, stdin) != NULL) {
		words[n][strcspn(words[n], "\n")] = '\0';
		if (words[n][0] != '\0')
			n++;
	}
	qsort(words, n, LENGTH, compare);
	puts("const char *const dictionary[] = {");
	for (i = 0; i < n; i++)
		printf("\t\"%s\",\n", words[i]);
	printf("};\n\nconst unsigned long dictionary_size = %zu;\n", n);
	return 0;
}
