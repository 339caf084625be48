// Command scale shows what does not grow: the same requests on volumes that store little and very much, and with few
// and very many connections. benches/scale/run starts it; docs/performance.md has the tables.
package main

import (
	"flag"
	"fmt"
	"os"

	"pakhuis/benches/peers"
)

type settings struct {
	peer      peers.Peer
	directory string
	quick     bool
}

func main() {
	checkout := flag.String("checkout", ".", "the checkout of Pakhuis; its target/ has the programs")
	directory := flag.String("directory", "/dev/shm", "where the volumes are made: 3,010,000 inodes of a tmpfs, 4 GB")
	reference := flag.Bool("reference", false, "measure the reference instead of ours, without the pages")
	quick := flag.Bool("quick", false, "at most 10,000 stored, 200 idle connections, 50 pulls")
	flag.Parse()
	peers.CleanUpOnInterrupt()
	if err := run(*checkout, *directory, *reference, *quick, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(checkout, directory string, reference, quick bool, parts []string) error {
	registries, err := peers.Registries(checkout)
	if err != nil {
		return err
	}
	settings := settings{peer: registries[0], directory: directory, quick: quick}
	if reference {
		settings.peer = registries[1]
	}
	if len(parts) == 0 {
		parts = []string{"tags", "blobs", "repositories", "referrers", "connections"}
	}
	for _, part := range parts {
		measure, known := map[string]func() error{
			"tags":         settings.tags,
			"blobs":        settings.blobs,
			"repositories": settings.repositories,
			"referrers":    settings.referrers,
			"connections":  settings.connections,
		}[part]
		if !known {
			return fmt.Errorf("no part %q: tags, blobs, repositories, referrers, connections", part)
		}
		if err := measure(); err != nil {
			return err
		}
	}
	return nil
}

func (settings *settings) sizes(all ...int) []int {
	if settings.quick {
		return all[:2]
	}
	return all
}
