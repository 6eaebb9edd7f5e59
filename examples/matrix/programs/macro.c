#include <stdio.h>

/* Says whether it is optimized, so it prints something else. */
int main(void)
{
#ifdef __OPTIMIZE__
	puts("optimized");
#else
	puts("as it is written");
#endif
	return 0;
}
