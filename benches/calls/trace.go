package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pakhuis/benches/peers"
)

const (
	// No call for this long after an answer: what the request set off is over.
	quiet    = 50 * time.Millisecond
	patience = 10 * time.Second
	// Calls that flush, and a listing; all others of interest take a path.
	traced = "trace=%file,getdents64,fsync,fdatasync,syncfs,sync_file_range"
)

// Trace is strace on a running server.
type trace struct {
	command *exec.Cmd
	file    string
	volume  string
}

func attach(server *peers.Server) (*trace, error) {
	file := filepath.Join(server.Directory, "strace")
	// -y shows the path of a directory handle.
	command := exec.Command("strace", "-f", "-y", "-s", "400", "-e", traced, "-o", file, "-p", strconv.Itoa(server.PID()))
	command.Stderr = os.Stderr
	command.Args = append(command.Args, "-q")
	if err := command.Start(); err != nil {
		return nil, err
	}
	time.Sleep(time.Second)
	return &trace{command, file, server.Volume}, nil
}

func (trace *trace) detach() {
	_ = trace.command.Process.Signal(syscall.SIGINT)
	_ = trace.command.Wait()
}

// during gives the calls on the volume, in order, that an action set off.
func (trace *trace) during(action func() error) ([]string, error) {
	before, err := trace.settle()
	if err != nil {
		return nil, err
	}
	if err := action(); err != nil {
		return nil, err
	}
	after, err := trace.settle()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(trace.file)
	if err != nil {
		return nil, err
	}
	var calls []string
	for _, line := range bytes.Split(text[before:after], []byte("\n")) {
		if call, counts := trace.call(string(line)); counts {
			calls = append(calls, call)
		}
	}
	return calls, nil
}

// settle waits until nothing more is written, and gives the length of the trace.
func (trace *trace) settle() (int64, error) {
	size, since, began := int64(-1), time.Now(), time.Now()
	for time.Since(began) < patience {
		information, err := os.Stat(trace.file)
		if err != nil {
			return 0, err
		}
		if information.Size() != size {
			size, since = information.Size(), time.Now()
		} else if time.Since(since) > quiet {
			return size, nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0, fmt.Errorf("the server is never quiet")
}

var (
	threadNumber     = regexp.MustCompile(`^\d+ +`)
	workingDirectory = regexp.MustCompile(`AT_FDCWD(<[^>]*>)?, `)
)

// call says whether a line begins a call on the volume, and gives it as it is shown. Each counts once, at its
// beginning, whatever came of it; a plain fstat of an open file does not.
func (trace *trace) call(line string) (string, bool) {
	line = threadNumber.ReplaceAllString(line, "")
	if strings.HasPrefix(line, "<...") || !strings.Contains(line, trace.volume) {
		return "", false
	}
	if strings.Contains(line, ", \"\", ") && strings.Contains(line, "AT_EMPTY_PATH") {
		return "", false
	}
	if strings.HasPrefix(line, "utimensat(") && strings.Contains(line, ">, NULL,") {
		return "", false
	}
	line = workingDirectory.ReplaceAllString(line, "")
	return strings.ReplaceAll(line, trace.volume, "~"), true
}

func flushes(call string) bool {
	name, _, _ := strings.Cut(call, "(")
	return strings.Contains(name, "sync")
}
