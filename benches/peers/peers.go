// Package peers starts the registries that are compared: each fresh, on a directory of its own, over TLS with an
// htpasswd file, and says what the process used.
package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The names of the registries, as the tables show them.
const (
	Pakhuis    = "pakhuis"
	OtherBuild = "pakhuis, other build"
	Reference  = "distribution 3.1.1"
	Debian     = "registry 2.8.2"
	StaticFile = "nginx"
)

// Peer is a server program of this machine.
type Peer struct {
	Name    string
	Program string
}

// Registries gives ours and each other registry that is installed. The checkout is where target/ is. Ours is the release
// there, or the program that PAKHUIS_UNDER_TEST names.
func Registries(checkout string) ([]Peer, error) {
	ours := os.Getenv("PAKHUIS_UNDER_TEST")
	if ours == "" {
		ours = filepath.Join(checkout, "target/release/pakhuis")
	}
	if _, err := os.Stat(ours); err != nil {
		return nil, fmt.Errorf("build the release first: %w", err)
	}
	found := []Peer{{Pakhuis, ours}}
	reference := filepath.Join(checkout, "target/ci-tools/bin/registry")
	if _, err := os.Stat(reference); err != nil {
		return nil, fmt.Errorf("install the reference first, as .ci/run does: %w", err)
	}
	found = append(found, Peer{Reference, reference})
	if program, err := exec.LookPath("docker-registry"); err == nil {
		found = append(found, Peer{Debian, program})
	}
	return found, nil
}

// Nginx gives the web server that shows what serving a file costs, where it is installed.
func Nginx() (Peer, bool) {
	for _, program := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(program); err == nil {
			return Peer{StaticFile, path}, true
		}
	}
	return Peer{}, false
}
