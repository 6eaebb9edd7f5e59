// Command cbuild builds targets described in BUILD.hcl files.
package main

func main() {}
