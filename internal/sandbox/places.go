package sandbox

// Where things are in a box, on every machine: no path of the machine reaches a command.
const (
	boxWork   = "/build/work" // the run's directory
	boxScript = "/build/script"
	boxTools  = "/tools" // toolchains, by number
)

// maxTools is how many toolchains a command can have.
const maxTools = 64
