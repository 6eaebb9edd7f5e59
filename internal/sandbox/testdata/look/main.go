// Command look prints what stands at paths: the content of a file, the names in a directory. It needs no system.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	for _, p := range os.Args[1:] {
		info, err := os.Stat(p)
		switch {
		case err != nil:
			fmt.Printf("%s: absent\n", p)
		case info.IsDir():
			list, _ := os.ReadDir(p)
			names := make([]string, len(list))
			for i, e := range list {
				names[i] = e.Name()
			}
			fmt.Printf("%s: %s\n", p, strings.Join(names, " "))
		default:
			data, _ := os.ReadFile(p)
			fmt.Printf("%s: %s\n", p, strings.TrimRight(string(data), "\n"))
		}
	}
}
