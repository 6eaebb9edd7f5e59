#include "text.h"

int main(void)
{
	char word[64];
	long n = 0;

	while (next_word(stdin, word, sizeof word))
		n++;
	printf("%ld words\n", n);
	return 0;
}
