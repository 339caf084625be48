package peers

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// What has to go when the command is interrupted.
var (
	leftovers     = map[string]*Server{}
	leftoversLock sync.Mutex
)

// CleanUpOnInterrupt stops all servers, and removes all directories, when somebody ends the command.
func CleanUpOnInterrupt() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		leftoversLock.Lock()
		defer leftoversLock.Unlock()
		for _, server := range leftovers {
			if server != nil && server.exited != nil {
				_ = server.command.Process.Kill()
				<-server.exited
			}
		}
		// Somebody may still be filling one: until nothing is left to remove.
		for tries := 0; tries < 20; tries++ {
			for directory := range leftovers {
				_ = os.RemoveAll(directory)
			}
		}
		os.Exit(130)
	}()
}

// Scratch makes a directory that Forget removes.
func Scratch(parent string) (string, error) {
	directory, err := os.MkdirTemp(parent, "pakhuis-bench-")
	if err == nil {
		remember(directory, nil)
	}
	return directory, err
}

// Forget removes a directory of Scratch.
func Forget(directory string) {
	_ = os.RemoveAll(directory)
	leftoversLock.Lock()
	defer leftoversLock.Unlock()
	delete(leftovers, directory)
}

func remember(directory string, server *Server) {
	leftoversLock.Lock()
	defer leftoversLock.Unlock()
	leftovers[directory] = server
}
