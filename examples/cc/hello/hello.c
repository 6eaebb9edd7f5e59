#include "say/say.h"

int main(void) {
  say("Hello", "world");
  return 0;
}
