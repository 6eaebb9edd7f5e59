#include <stdio.h>

/* Gives up where it is optimized, as a program does that relies on what no standard promises. */
int main(void)
{
	puts("so far, so good");
#ifdef __OPTIMIZE__
	return 1;
#endif
	return 0;
}
