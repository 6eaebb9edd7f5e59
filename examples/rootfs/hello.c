#include <stdio.h>
#include <unistd.h>

int main(void) {
  printf("A compiler of its own made this; /usr/bin/gcc is %s.\n", access("/usr/bin/gcc", F_OK) ? "not here" : "here");
  return 0;
}
