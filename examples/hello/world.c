#include "say.h"

int main(void) {
	say("world");
	return 0;
}
