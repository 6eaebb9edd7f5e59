#include <stdio.h>

#include "say.h"

void say(const char *word, const char *whom) { printf("%s, %s.\n", word, whom); }
