package main

import (
	"bufio"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"sort"
	"sync"
	"time"

	"pakhuis/benches/client"
	"pakhuis/benches/peers"
)

const (
	// Of each slow pull: 1 Mbit/s, taken in steps.
	bytesPerSecond = 125_000
	step           = 100 * time.Millisecond
	blobSize       = 64 << 20
	// What is measured meanwhile: GET of a manifest, at a rate that leaves the server room.
	requestsPerSecond = 100
	measured          = 10 * time.Second
)

// connections measures memory and the p99 of a manifest GET: alone, beside many idle connections, and beside many slow
// pulls as well.
func (settings *settings) connections() error {
	idle, slow := 2000, 500
	if settings.quick {
		idle, slow = 200, 50
	}
	server, user, err := settings.start("")
	if err != nil {
		return err
	}
	defer server.Stop()
	defer user.Close()
	blob := make([]byte, blobSize)
	_, _ = rand.Read(blob)
	if _, err := pushImage(user, name); err != nil {
		return err
	}
	if err := user.PushBlob(name, blob); err != nil {
		return err
	}
	fmt.Printf("\n%s: memory, and a GET of a manifest by tag (%d a second for %s)\n\n", settings.peer.Name, requestsPerSecond, measured)
	fmt.Print("| Beside it | RSS | p50 | p99 | CPU of the server |\n|---|---|---|---|---|\n")
	crowd := &crowd{server: server, path: "/v2/" + name + "/blobs/" + client.Digest(blob)}
	defer crowd.leave()
	stages := []struct {
		title  string
		arrive func() error
	}{
		{"nothing", func() error { return nil }},
		{fmt.Sprintf("%d idle connections", idle), func() error { return crowd.idle(idle) }},
		{fmt.Sprintf("those, and %d pulls at 1 Mbit/s", slow), func() error { return crowd.pull(slow) }},
	}
	for _, stage := range stages {
		if err := stage.arrive(); err != nil {
			return err
		}
		if err := watch(server, user, stage.title); err != nil {
			return err
		}
	}
	return crowd.failed
}

// watch sends the measured requests and prints a line.
func watch(server *peers.Server, user *client.Client, title string) error {
	time.Sleep(time.Second)
	var times []time.Duration
	cpu, ticker := server.CPU(), time.NewTicker(time.Second/requestsPerSecond)
	defer ticker.Stop()
	for began := time.Now(); time.Since(began) < measured; {
		<-ticker.C
		start := time.Now()
		if _, err := user.Expect(http.StatusOK, "GET", "/v2/"+name+"/manifests/1.0", nil, ""); err != nil {
			return err
		}
		times = append(times, time.Since(start))
	}
	used := (server.CPU() - cpu).Seconds() / measured.Seconds()
	sort.Slice(times, func(a, b int) bool { return times[a] < times[b] })
	fmt.Printf("| %s | %.1f MB | %s | %s | %.1f %% of a core |\n", title, float64(server.RSS())/1e6,
		milliseconds(times[len(times)/2]), milliseconds(times[len(times)*99/100]), used*100)
	return nil
}

// crowd is the connections that are there meanwhile.
type crowd struct {
	server *peers.Server
	path   string
	lock   sync.Mutex
	open   []net.Conn
	failed error
}

// connect opens a connection with a small receive buffer, so that a slow reader is slow for the server too.
func (crowd *crowd) connect() (net.Conn, error) {
	tcp, err := net.Dial("tcp", crowd.server.Address)
	if err != nil {
		return nil, err
	}
	_ = tcp.(*net.TCPConn).SetReadBuffer(64 << 10)
	connection := tls.Client(tcp, &tls.Config{InsecureSkipVerify: true})
	crowd.open = append(crowd.open, connection)
	return connection, connection.Handshake()
}

func (crowd *crowd) request(connection net.Conn, path string) (*http.Response, error) {
	credentials := base64.StdEncoding.EncodeToString([]byte(peers.User + ":" + peers.Password))
	_, err := fmt.Fprintf(connection, "GET %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Basic %s\r\n\r\n", path, crowd.server.Address, credentials)
	if err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(connection), nil)
}

// idle opens connections that each send one request and then nothing.
func (crowd *crowd) idle(count int) error {
	for index := 0; index < count; index++ {
		connection, err := crowd.connect()
		if err != nil {
			return err
		}
		response, err := crowd.request(connection, "/v2/")
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return err
		}
	}
	return nil
}

// pull begins downloads that go on until the crowd leaves.
func (crowd *crowd) pull(count int) error {
	for index := 0; index < count; index++ {
		connection, err := crowd.connect()
		if err != nil {
			return err
		}
		response, err := crowd.request(connection, crowd.path)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("pull: %s", response.Status)
		}
		go crowd.readSlowly(response.Body)
	}
	return nil
}

func (crowd *crowd) readSlowly(body io.Reader) {
	for {
		if _, err := io.CopyN(io.Discard, body, int64(bytesPerSecond*step/time.Second)); err != nil {
			crowd.lock.Lock()
			defer crowd.lock.Unlock()
			if crowd.open != nil && crowd.failed == nil {
				crowd.failed = fmt.Errorf("a slow pull broke off: %w", err)
			}
			return
		}
		time.Sleep(step)
	}
}

func (crowd *crowd) leave() {
	crowd.lock.Lock()
	open := crowd.open
	crowd.open = nil
	crowd.lock.Unlock()
	for _, connection := range open {
		_ = connection.Close()
	}
}
