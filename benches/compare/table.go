package main

import (
	"fmt"
	"strings"
	"time"

	"pakhuis/benches/peers"
)

// result is what one server did for one row.
type result struct {
	stage    *stage
	measured measurement
}

// find gives the result of a peer; nil where it did not take part.
func find(results []result, peer string) *measurement {
	for index := range results {
		if results[index].stage.server.Peer.Name == peer {
			return &results[index].measured
		}
	}
	return nil
}

func printHeader() {
	fmt.Println("| Work | server | throughput | p50 | p99 | CPU of the server | CPU, x reference | throughput, x reference | bar |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
}

func printRow(row *row, results []result) {
	reference := find(results, peers.Reference)
	for index := range results {
		measured := &results[index].measured
		title, bar := "", ""
		if index == 0 {
			title, bar = row.title, fmt.Sprintf("%g x", row.bar)
			if row.throughput != 1 {
				bar += fmt.Sprintf("; throughput %g x", row.throughput)
			}
		}
		fmt.Printf("| %s | %s | %s | %s | %s | %s | %.4f | %.2f | %s |\n", title, results[index].stage.server.Peer.Name,
			row.showThroughput(measured), short(measured.percentile(50)), short(measured.percentile(99)),
			row.showCPU(measured), measured.perUnit()/reference.perUnit(), measured.throughput()/reference.throughput(), bar)
	}
}

func (row *row) showThroughput(measured *measurement) string {
	if row.unit == "GB" {
		return fmt.Sprintf("%.0f MB/s", measured.throughput()*1000)
	}
	return fmt.Sprintf("%.0f/s", measured.throughput())
}

func (row *row) showCPU(measured *measurement) string {
	if row.unit == "GB" {
		return fmt.Sprintf("%.2f s/GB", measured.perUnit())
	}
	return fmt.Sprintf("%s/%s", short(time.Duration(measured.perUnit()*1e9)), row.unit)
}

// short is a duration in three digits or so.
func short(duration time.Duration) string {
	switch {
	case duration >= time.Second:
		return fmt.Sprintf("%.2f s", duration.Seconds())
	case duration >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", duration.Seconds()*1e3)
	case duration >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", duration.Seconds()*1e3)
	default:
		return fmt.Sprintf("%.0f us", duration.Seconds()*1e6)
	}
}

// margin is how far over a bar, or under a throughput, still counts as met.
func (settings *settings) margin() float64 {
	if settings.check {
		return 1.3
	}
	return 1
}

// misses says in words which bars of a row ours misses.
func (row *row) misses(results []result, margin float64) []string {
	ours, reference := find(results, peers.Pakhuis), find(results, peers.Reference)
	var found []string
	if ratio := ours.perUnit() / reference.perUnit(); ratio > row.bar*margin {
		found = append(found, fmt.Sprintf("%s: CPU %.4f x, bar %g x", row.name, ratio, row.bar))
	}
	if ratio := ours.throughput() / reference.throughput(); ratio < row.throughput/margin {
		found = append(found, fmt.Sprintf("%s: throughput %.2f x, bar %g x", row.name, ratio, row.throughput))
	}
	if nginx := find(results, peers.StaticFile); nginx != nil && ours.perUnit() > nginx.perUnit()*margin {
		found = append(found, fmt.Sprintf("%s: CPU %.2f x that of nginx", row.name, ours.perUnit()/nginx.perUnit()))
	}
	return found
}

func verdict(missed, told []string) error {
	if len(told) > 0 {
		fmt.Printf("\nnot yet held:\n  %s\n", strings.Join(told, "\n  "))
	}
	if len(missed) > 0 {
		return fmt.Errorf("\nmissed:\n  %s", strings.Join(missed, "\n  "))
	}
	if len(told) > 0 {
		fmt.Println("\nevery other bar is met")
	} else {
		fmt.Println("\nevery bar is met")
	}
	return nil
}
