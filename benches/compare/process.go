package main

import (
	"fmt"
	"sort"
	"time"

	"pakhuis/benches/peers"
	"pakhuis/benches/tree"
)

// The rows that are about the process, not about a load.
const (
	memoryRow = "memory"
	startRow  = "start"
)

const (
	megabyte    = 1e6
	idleBar     = 15 * megabyte
	highestBar  = 60 * megabyte
	startRounds = 5
)

// peaks gives the highest RSS of each server, over all that was done so far.
func peaks(stages []*stage) []int64 {
	var found []int64
	for _, stage := range stages {
		found = append(found, stage.server.PeakRSS())
	}
	return found
}

func (settings *settings) compareMemory(stages []*stage, highest []int64, missed *[]string) {
	fmt.Print("\n| server | RSS idle | highest over the rows above |\n|---|---|---|\n")
	for index, stage := range stages {
		fmt.Printf("| %s | %.1f MB | %.1f MB |\n", stage.server.Peer.Name, float64(stage.idle)/megabyte, float64(highest[index])/megabyte)
	}
	if stages[0].idle > idleBar {
		*missed = append(*missed, fmt.Sprintf("idle: %.1f MB, bar %.0f MB", float64(stages[0].idle)/megabyte, idleBar/megabyte))
	}
	// More threads, each with memory of its own, serve a server that waits for a busy machine: 46 MB became 61.
	if float64(highest[0]) > highestBar*settings.margin() {
		*missed = append(*missed, fmt.Sprintf("highest: %.1f MB, bar %.0f MB", float64(highest[0])/megabyte, highestBar/megabyte))
	}
}

// compareStarts measures the time from exec to the first answer on a volume with many repositories.
func (settings *settings) compareStarts(stages []*stage, missed *[]string) error {
	volume, err := peers.Scratch(settings.directory)
	if err != nil {
		return err
	}
	defer peers.Forget(volume)
	if _, err := tree.Repositories(volume, many); err != nil {
		return err
	}
	times := map[string][]time.Duration{}
	for round := 0; round <= startRounds; round++ {
		for _, stage := range stages {
			peer := stage.server.Peer
			server, err := peers.Start(peer, peers.Options{Directory: settings.directory, BcryptCost: defaultCost, Volume: volume})
			if err != nil {
				return err
			}
			server.Stop()
			if round > 0 { // The first start reads the program from the disk.
				times[peer.Name] = append(times[peer.Name], server.StartTime)
			}
		}
	}
	fmt.Printf("\n| server | start to first answer, 10,000 repositories stored (median of %d) |\n|---|---|\n", startRounds)
	for _, stage := range stages {
		fmt.Printf("| %s | %s |\n", stage.server.Peer.Name, short(median(times[stage.server.Peer.Name])))
	}
	ours, reference := median(times[peers.Pakhuis]), median(times[peers.Reference])
	if ours.Seconds() > reference.Seconds()*settings.margin() {
		*missed = append(*missed, fmt.Sprintf("start: %s, the reference %s", short(ours), short(reference)))
	}
	return nil
}

func median(times []time.Duration) time.Duration {
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	return times[len(times)/2]
}
