#include "say/say.h"

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) say("Good day", argv[i]);
  return 0;
}
