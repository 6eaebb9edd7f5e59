/* say prints a greeting, with a full stop at the end. */
void say(const char *word, const char *whom);
