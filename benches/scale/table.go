package main

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"pakhuis/benches/client"
	"pakhuis/benches/peers"
)

// How long each request is repeated, one at a time, and how often at least: the first time may find nothing in memory.
const (
	duration = 2 * time.Second
	atLeast  = 10
)

// request is one line of a table.
type request struct {
	title string
	send  func(number int) error
}

// cost is what a request took: of the first, and of one after it.
type cost struct {
	first, median, cpu time.Duration
}

func (settings *settings) start(volume string) (*peers.Server, *client.Client, error) {
	options := peers.Options{Directory: settings.directory, BcryptCost: 5, Volume: volume}
	server, err := peers.Start(settings.peer, options)
	if err != nil {
		return nil, nil, err
	}
	return server, client.New(server, false), nil
}

func repeat(server *peers.Server, send func(number int) error) (cost, error) {
	var times []time.Duration
	cpu, began := time.Duration(0), time.Now()
	for number := 0; number <= atLeast || time.Since(began) < duration; number++ {
		start := time.Now()
		if err := send(number); err != nil {
			return cost{}, err
		}
		times = append(times, time.Since(start))
		if number == 0 {
			cpu = server.CPU()
		}
	}
	used := (server.CPU() - cpu) / time.Duration(len(times)-1)
	first := times[0]
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	return cost{first: first, median: times[len(times)/2], cpu: used}, nil
}

// measureAll gives the costs of requests, in their order.
func measureAll(server *peers.Server, requests []request) ([]cost, error) {
	var costs []cost
	for _, request := range requests {
		found, err := repeat(server, request.send)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", request.title, err)
		}
		costs = append(costs, found)
	}
	return costs, nil
}

// printTable has a line for each request and a column for each size.
func (settings *settings) printTable(what string, sizes []int, titles []string, costs [][]cost) {
	fmt.Printf("\n%s, %s: median / CPU of the server / the first request\n\n| Request |", settings.peer.Name, what)
	for _, size := range sizes {
		fmt.Printf(" %d |", size)
	}
	fmt.Printf("\n|---|%s\n", strings.Repeat("---|", len(sizes)))
	for line, title := range titles {
		fmt.Printf("| %s |", title)
		for column := range sizes {
			found := costs[column][line]
			fmt.Printf(" %s / %s / %s |", milliseconds(found.median), milliseconds(found.cpu), milliseconds(found.first))
		}
		fmt.Println()
	}
}

func milliseconds(duration time.Duration) string {
	return fmt.Sprintf("%.2f ms", duration.Seconds()*1e3)
}
