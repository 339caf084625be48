// Command calls counts the file-system calls on the volume for each request: ours beside the reference's. On NFS most
// of them are a round trip to the file server. benches/calls/run starts it; it needs strace.
package main

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"

	"pakhuis/benches/client"
	"pakhuis/benches/peers"
)

// Rounds of all requests; the table shows medians, so what a server does on its own now and then does not show.
const rounds = 5

// counts are the calls of each round, by request.
type counts map[string][][]string

func main() {
	checkout := flag.String("checkout", ".", "the checkout of Pakhuis; its target/ has the programs")
	directory := flag.String("directory", "/dev/shm", "where the volumes are made")
	show := flag.String("show", "", "print the calls of this request of ours, in order, instead of the table; `all` for each")
	flag.Parse()
	peers.CleanUpOnInterrupt()
	if err := run(*checkout, *directory, *show); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(checkout, directory, show string) error {
	registries, err := peers.Registries(checkout)
	if err != nil {
		return err
	}
	if show != "" {
		return showCalls(registries[0], directory, show)
	}
	results := make([]counts, len(registries))
	for index, registry := range registries {
		if results[index], err = count(registry, directory); err != nil {
			return err
		}
	}
	printTable(registries, results)
	return checkBars(results[0])
}

func count(registry peers.Peer, directory string) (counts, error) {
	server, err := peers.Start(registry, peers.Options{Directory: directory, BcryptCost: 5})
	if err != nil {
		return nil, err
	}
	defer server.Stop()
	user := client.New(server, false)
	defer user.Close()
	// One life unseen: what a server does once in its life is no part of a request.
	if err := life(user, "warm/up", func(_ string, request func() error) { _ = request() }); err != nil {
		return nil, err
	}
	trace, err := attach(server)
	if err != nil {
		return nil, err
	}
	defer trace.detach()
	result := counts{}
	for round := 0; round < rounds; round++ {
		// A parent of its own: nothing on the way to it is there yet.
		repository := fmt.Sprintf("team%d/app", round)
		err := life(user, repository, func(name string, request func() error) {
			if calls, err := trace.during(request); err == nil {
				result[name] = append(result[name], calls)
			} else if round == 0 {
				fmt.Fprintf(os.Stderr, "%s: %s: %v\n", registry.Name, name, err)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", registry.Name, err)
		}
	}
	return result, nil
}

// median gives the calls of the round in the middle.
func (result counts) median(name string) ([]string, bool) {
	all := append([][]string{}, result[name]...)
	if len(all) == 0 {
		return nil, false
	}
	sort.SliceStable(all, func(a, b int) bool { return len(all[a]) < len(all[b]) })
	return all[len(all)/2], true
}

func split(calls []string) (found bar) {
	for _, call := range calls {
		if flushes(call) {
			found.flushes++
		} else {
			found.paths++
		}
	}
	return found
}

func printTable(registries []peers.Peer, results []counts) {
	fmt.Printf("\nPath calls / flushes on the volume for one request (medians of %d):\n\n", rounds)
	fmt.Print("| Request |")
	for _, registry := range registries {
		fmt.Printf(" %s |", registry.Name)
	}
	fmt.Printf(" bar |\n|---|%s\n", strings.Repeat("---|", len(registries)+1))
	for _, name := range requests {
		fmt.Printf("| %s |", name)
		for _, result := range results {
			if calls, measured := result.median(name); measured {
				found := split(calls)
				fmt.Printf(" %d / %d |", found.paths, found.flushes)
			} else {
				fmt.Print(" refused |")
			}
		}
		if limit, has := bars[name]; has {
			fmt.Printf(" %d / %d |\n", limit.paths, limit.flushes)
		} else {
			fmt.Print(" |\n")
		}
	}
}

// The counts do not depend on how busy the machine is: a bar that is missed is missed.
func checkBars(ours counts) error {
	var missed []string
	fmt.Println()
	for _, name := range requests {
		limit, has := bars[name]
		calls, measured := ours.median(name)
		found := split(calls)
		if !has || (measured && found.paths <= limit.paths && found.flushes <= limit.flushes) {
			continue
		}
		if reason, known := above[name]; measured && known {
			fmt.Printf("above the bar, as known: %s, %d / %d, bar %d / %d: %s\n",
				name, found.paths, found.flushes, limit.paths, limit.flushes, reason)
		} else {
			missed = append(missed, name)
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("\nover the bar: %s", strings.Join(missed, "; "))
	}
	fmt.Println("every other bar is met")
	return nil
}

func showCalls(registry peers.Peer, directory, name string) error {
	result, err := count(registry, directory)
	if err != nil {
		return err
	}
	shown := []string{name}
	if name == "all" {
		shown = requests
	}
	for _, name := range shown {
		calls, measured := result.median(name)
		if !measured {
			return fmt.Errorf("no request %q; there are: %s", name, strings.Join(requests, "; "))
		}
		found := split(calls)
		fmt.Printf("\n%s: %d path calls, %d flushes\n", name, found.paths, found.flushes)
		for _, call := range calls {
			fmt.Println("  " + call)
		}
	}
	return nil
}
