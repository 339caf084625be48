// Command compare puts the same load on Pakhuis and on each peer that is installed, in turn, and prints what each gave
// and what it used. benches/compare/run starts it; docs/performance.md says how to read it.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"pakhuis/benches/peers"
)

type settings struct {
	checkout  string
	directory string
	beside    string
	only      []string
	// open has the rows that may miss a bar, and how many times over it each fails.
	open map[string]float64
	// told is what the open rows miss.
	told  []string
	quick bool
	check bool
}

func main() {
	var settings settings
	var only, open string
	var list bool
	flag.StringVar(&settings.checkout, "checkout", ".", "the checkout of Pakhuis; its target/ has the programs")
	flag.StringVar(&settings.directory, "directory", "/dev/shm", "where the volumes are made; 6 GB are used")
	flag.StringVar(&settings.beside, "beside", "", "another build of the `program` pakhuis, measured in turn with the one of the checkout: what a change costs or gains")
	flag.StringVar(&only, "only", "", "these rows, separated by commas; `memory` and `start` are rows too")
	flag.StringVar(&open, "open", "", "rows that are known to miss a bar, `name=factor` separated by commas: what they miss is printed as not yet held, and fails at so many times the bar")
	flag.BoolVar(&list, "list", false, "print the names of the rows")
	flag.BoolVar(&settings.quick, "quick", false, "one short round of each row")
	flag.BoolVar(&settings.check, "check", false, "for a gate: ours and the reference only; fails when a bar is missed twice in a row by more than the noise of a busy machine")
	flag.Parse()
	peers.CleanUpOnInterrupt()
	if only != "" {
		settings.only = strings.Split(only, ",")
	}
	var err error
	if settings.open, err = openRows(open); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if list {
		for _, row := range rows {
			fmt.Printf("%-16s %s\n", row.name, row.title)
		}
		return
	}
	if err := settings.run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// openRows reads name=factor,name=factor.
func openRows(text string) (map[string]float64, error) {
	open := map[string]float64{}
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' }) {
		name, factor, _ := strings.Cut(part, "=")
		times, err := strconv.ParseFloat(factor, 64)
		known := slices.ContainsFunc(rows, func(row row) bool { return row.name == name })
		if err != nil || times < 1 || !known {
			return nil, fmt.Errorf("--open %s: not a row and how many times its bar it may be, such as pull=1.5", part)
		}
		open[name] = times
	}
	return open, nil
}

func (settings *settings) wants(name string) bool {
	return len(settings.only) == 0 || slices.Contains(settings.only, name)
}

func (settings *settings) effort() (rounds int, effort effort) {
	if settings.quick {
		return 1, makeEffort(4, time.Second)
	}
	return 3, makeEffort(8, 3*time.Second)
}

func makeEffort(blobs int, duration time.Duration) effort {
	return effort{blobs: blobs, duration: duration}
}

func (settings *settings) run() error {
	for _, name := range settings.only {
		known := slices.ContainsFunc(rows, func(row row) bool { return row.name == name })
		if !known && name != memoryRow && name != startRow {
			return fmt.Errorf("no row %q; --list prints them", name)
		}
	}
	stages, err := settings.prepare(defaultCost)
	if err != nil {
		return err
	}
	defer closeAll(stages)
	printHeader()
	var missed []string
	for _, row := range rows {
		if row.cost == 0 && settings.wants(row.name) {
			if err := settings.compare(&row, stages, &missed); err != nil {
				return err
			}
		}
	}
	highest := peaks(stages)
	if err := settings.compareHighCost(&missed); err != nil {
		return err
	}
	if settings.wants(memoryRow) {
		settings.compareMemory(stages, highest, &missed)
	}
	if settings.wants(startRow) {
		if err := settings.compareStarts(stages, &missed); err != nil {
			return err
		}
	}
	return verdict(missed, settings.told)
}

// compareHighCost needs servers of its own: the hash of the user is another.
func (settings *settings) compareHighCost(missed *[]string) error {
	for _, row := range rows {
		if row.cost == 0 || !settings.wants(row.name) {
			continue
		}
		stages, err := settings.prepare(row.cost)
		if err != nil {
			return err
		}
		err = settings.compare(&row, stages, missed)
		closeAll(stages)
		if err != nil {
			return err
		}
	}
	return nil
}

func (settings *settings) prepare(cost int) ([]*stage, error) {
	installed, err := peers.Registries(settings.checkout)
	if err != nil {
		return nil, err
	}
	if settings.check {
		installed = installed[:2]
	}
	if settings.beside != "" {
		installed = slices.Insert(installed, 1, peers.Peer{Name: peers.OtherBuild, Program: settings.beside})
	}
	if nginx, found := peers.Nginx(); found && cost == defaultCost {
		installed = append(installed, nginx)
	}
	var stages []*stage
	withLarge := slices.ContainsFunc(rows, func(row row) bool {
		return row.unit == "GB" && cost == defaultCost && settings.wants(row.name)
	})
	for _, peer := range installed {
		stage, err := prepare(peer, settings.directory, cost, withLarge)
		if err != nil {
			closeAll(stages)
			return nil, err
		}
		stages = append(stages, stage)
	}
	return stages, nil
}

func closeAll(stages []*stage) {
	for _, stage := range stages {
		stage.close()
	}
}

// compare measures a row, and once more when it misses its bar: a busy machine is no reason to fail.
func (settings *settings) compare(row *row, stages []*stage, missed *[]string) error {
	results, err := settings.measure(row, stages)
	if err != nil {
		return err
	}
	printRow(row, results)
	margin := settings.margin()
	misses := row.misses(results, margin)
	if times, isOpen := settings.open[row.name]; isOpen {
		settings.tellOpen(row.name, misses)
		margin = times
		misses = row.misses(results, margin)
	}
	if settings.check && len(misses) > 0 {
		fmt.Printf("| | again: %s | | | | | | | |\n", strings.Join(misses, ", "))
		if results, err = settings.measure(row, stages); err != nil {
			return err
		}
		printRow(row, results)
		misses = row.misses(results, margin)
	}
	*missed = append(*missed, misses...)
	return nil
}

// tellOpen says of a row that may miss its bars whether it does.
func (settings *settings) tellOpen(name string, misses []string) {
	settings.told = append(settings.told, misses...)
	if len(misses) == 0 {
		settings.told = append(settings.told, name+": held in this run")
	}
}

// measure runs the rounds of a row, the servers in turn, so that what else the machine does hits all of them.
func (settings *settings) measure(row *row, stages []*stage) ([]result, error) {
	rounds, effort := settings.effort()
	var results []result
	for _, stage := range stages {
		if row.withNginx || stage.server.Peer.Name != peers.StaticFile {
			results = append(results, result{stage: stage})
		}
	}
	for index := range results {
		// Unmeasured: connections, the first proof of the password, what is read for the first time.
		if _, err := row.load(results[index].stage, makeEffort(1, 300*time.Millisecond)); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", row.name, results[index].stage.server.Peer.Name, err)
		}
	}
	for round := 0; round < rounds; round++ {
		for turn := range results {
			result := &results[(turn+round)%len(results)]
			measured, err := row.load(result.stage, effort)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", row.name, result.stage.server.Peer.Name, err)
			}
			result.measured.add(measured)
		}
	}
	return results, nil
}
