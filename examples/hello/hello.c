#include "say.h"

int main(void) {
	say("hello");
	return 0;
}
