#include <stdio.h>

/* Uses an array of variable length: the matrix leaves it out where the standard does not know them. */
int main(int argc, char **argv)
{
	int squares[argc + 9], i, sum = 0;

	(void)argv;
	for (i = 0; i < argc + 9; i++)
		squares[i] = i * i;
	for (i = 0; i < argc + 9; i++)
		sum += squares[i];
	printf("%d\n", sum);
	return 0;
}
