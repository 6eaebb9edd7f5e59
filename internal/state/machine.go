package state

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"cbuild/cas"
	"cbuild/internal/vfs"
)

// machineIDFile is where systemd and others keep a machine's identity: man 5 machine-id.
const machineIDFile = "/etc/machine-id"

// Machine returns what identifies this machine in the conditions of results: a hash of its machine id, or where there is none a
// random number kept in dir.
func Machine(fsys vfs.FS, dir string) (string, error) {
	if id, err := fsys.ReadFile(machineIDFile); err == nil {
		if id := strings.TrimSpace(string(id)); isID(id) {
			sum := cas.Derive("cbuild machine id v1", []byte(id))
			return hex.EncodeToString(sum[:16]), nil
		}
	}
	name := filepath.Join(dir, "machine")
	if id, err := fsys.ReadFile(name); err == nil && isID(strings.TrimSuffix(string(id), "\n")) {
		return strings.TrimSuffix(string(id), "\n"), nil
	}
	var random [16]byte
	rand.Read(random[:]) // it never fails
	id := hex.EncodeToString(random[:])
	if err := replaceFile(fsys, name, []byte(id+"\n")); err != nil {
		return "", fmt.Errorf("machine id: %w", err)
	}
	return id, nil
}

// isID reports whether s is 32 lower-case hexadecimal digits.
func isID(s string) bool {
	return len(s) == 32 && strings.Trim(s, "0123456789abcdef") == ""
}
