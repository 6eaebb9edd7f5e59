#include <stdio.h>

/* say prints one word on a line of its own. */
static inline void say(const char *word) { puts(word); }
