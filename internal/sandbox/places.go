package sandbox

// Where things are in a box, on every machine: no path of the machine reaches a command.
const (
	boxBuild  = "/build"      // the run's directory with all that belongs to it
	boxWork   = "/build/work" // the one that its command sees as its own
	boxScript = "/build/script"
	boxTools  = "/tools" // toolchains, by number
)
