#include <stdio.h>

/* Prints the same, however it is compiled. */
int main(void)
{
	int i, sum = 0;

	for (i = 1; i <= 100; i++)
		sum += i;
	printf("%d\n", sum);
	return 0;
}
