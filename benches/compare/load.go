package main

import (
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"pakhuis/benches/client"
	"pakhuis/benches/peers"
)

// stage is one server made ready: what the loads use of it is stored.
type stage struct {
	server *peers.Server
	users  map[bool]*client.Client // by whether HTTP/2 is spoken
	stored stored
	idle   int64 // RSS in bytes, before anything was asked
}

// measurement is what one load did, and what the server used for it.
type measurement struct {
	units     float64
	wall      time.Duration
	cpu       time.Duration
	latencies []time.Duration
}

func (measured *measurement) add(more measurement) {
	measured.units += more.units
	measured.wall += more.wall
	measured.cpu += more.cpu
	measured.latencies = append(measured.latencies, more.latencies...)
}

// perUnit is the CPU time of the server for one unit, in seconds.
func (measured *measurement) perUnit() float64 {
	return measured.cpu.Seconds() / measured.units
}

// throughput is units a second.
func (measured *measurement) throughput() float64 {
	return measured.units / measured.wall.Seconds()
}

func (measured *measurement) percentile(percent int) time.Duration {
	if len(measured.latencies) == 0 {
		return 0
	}
	sorted := append([]time.Duration{}, measured.latencies...)
	sort.Slice(sorted, func(a, b int) bool { return sorted[a] < sorted[b] })
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

// operation does one unit of work; number is different for each of a run.
type operation func(number int) error

// drive lets workers repeat an operation, `times` in all or, with 0, until the time is over.
func (stage *stage) drive(workers, times int, duration time.Duration, operation operation) (measurement, error) {
	var measured measurement
	var lock sync.Mutex
	var failed error
	var next atomic.Int64
	var group sync.WaitGroup
	cpu, began := stage.server.CPU(), time.Now()
	for worker := 0; worker < workers; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			var latencies []time.Duration
			for {
				number := int(next.Add(1)) - 1
				if (times > 0 && number >= times) || (times == 0 && time.Since(began) >= duration) {
					break
				}
				start := time.Now()
				if err := operation(number); err != nil {
					lock.Lock()
					failed = err
					lock.Unlock()
					break
				}
				latencies = append(latencies, time.Since(start))
			}
			lock.Lock()
			defer lock.Unlock()
			measured.latencies = append(measured.latencies, latencies...)
		}()
	}
	group.Wait()
	measured.wall = time.Since(began)
	measured.cpu = stage.server.CPU() - cpu
	measured.units = float64(len(measured.latencies))
	return measured, failed
}
