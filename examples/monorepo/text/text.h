#ifndef TEXT_H
#define TEXT_H

#include <stdio.h>

/* next_word reads the next word of in, in lower case, into word, which holds size bytes. It returns 0 at the end. */
int next_word(FILE *in, char *word, size_t size);

#endif
