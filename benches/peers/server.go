package peers

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// User and Password sign in at every server.
const (
	User     = "bench"
	Password = "a password of a bench"
)

// Hashes of Password by bcrypt cost, made by `htpasswd -B`.
var hashes = map[int]string{
	5:  "$2y$05$vsNQZUwRNMqIKttQfjMnfOaFaBKGNLkAX/JPZsj67m2X4bItX2RDy",
	10: "$2y$10$2jq0QQEML2lbNT3RpTgL6epwyapBXMRCIPUekVFbRNJTy.JM7vHIq",
}

// How long a server may take to answer, or to leave after SIGTERM.
const patience = 60 * time.Second

// Options of a server.
type Options struct {
	// Directory gets a directory of this server, removed with it.
	Directory string
	// BcryptCost is 5 or 10.
	BcryptCost int
	// Volume is served instead of an empty one, and left as it is.
	Volume string
}

// Server is a running peer.
type Server struct {
	Peer      Peer
	Address   string
	Directory string
	Volume    string
	// StartTime is the time from exec to the first answer over TLS.
	StartTime time.Duration
	command   *exec.Cmd
	exited    chan struct{}
	gone      bool
}

// Start runs a peer and waits until it answers.
func Start(peer Peer, options Options) (*Server, error) {
	directory, err := Scratch(options.Directory)
	if err != nil {
		return nil, err
	}
	server := &Server{Peer: peer, Directory: directory, Volume: options.Volume}
	if server.Volume == "" {
		server.Volume = filepath.Join(directory, "volume")
	}
	if err := server.start(options); err != nil {
		log, _ := os.ReadFile(filepath.Join(directory, "log"))
		server.Stop()
		return nil, fmt.Errorf("%s: %w\n%s", peer.Name, err, log)
	}
	return server, nil
}

func (server *Server) start(options Options) error {
	if err := os.MkdirAll(server.Volume, 0o755); err != nil {
		return err
	}
	hash, known := hashes[options.BcryptCost]
	if !known {
		return fmt.Errorf("no hash of cost %d", options.BcryptCost)
	}
	users := fmt.Sprintf("%s:%s\n", User, hash)
	if err := os.WriteFile(filepath.Join(server.Directory, "htpasswd"), []byte(users), 0o600); err != nil {
		return err
	}
	if err := writeCertificates(server.Directory); err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	server.Address = address
	arguments, err := configure(server)
	if err != nil {
		return err
	}
	return server.run(arguments)
}

func (server *Server) run(arguments []string) error {
	log, err := os.Create(filepath.Join(server.Directory, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	server.command = exec.Command(server.Peer.Program, arguments...)
	server.command.Dir = server.Directory
	server.command.Env = environment()
	server.command.Stdout, server.command.Stderr = log, log
	started := time.Now()
	if err := server.command.Start(); err != nil {
		return err
	}
	server.exited = make(chan struct{})
	remember(server.Directory, server)
	go func() {
		_ = server.command.Wait()
		close(server.exited)
	}()
	return server.waitForAnswer(started)
}

func (server *Server) waitForAnswer(started time.Time) error {
	for time.Since(started) < patience {
		connection, err := tls.Dial("tcp", server.Address, &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			defer connection.Close()
			fmt.Fprintf(connection, "GET /v2/ HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", server.Address)
			_ = connection.SetReadDeadline(time.Now().Add(patience))
			_, err = connection.Read(make([]byte, 12))
			server.StartTime = time.Since(started)
			return err
		}
		select {
		case <-server.exited:
			return fmt.Errorf("ended at once")
		case <-time.After(time.Millisecond):
		}
	}
	return fmt.Errorf("does not answer: %s", server.Address)
}

// Stop ends the server and removes its directory.
func (server *Server) Stop() {
	if server.exited != nil && !server.gone {
		server.gone = true
		_ = server.command.Process.Signal(syscall.SIGTERM)
		select {
		case <-server.exited:
		case <-time.After(10 * time.Second):
			_ = server.command.Process.Kill()
			<-server.exited
		}
	}
	Forget(server.Directory)
}

// PID is the process id of the server.
func (server *Server) PID() int {
	return server.command.Process.Pid
}

// The outcome must not depend on what is set in the terminal; 3.x reports to a collector unless told otherwise.
func environment() []string {
	kept := []string{"OTEL_TRACES_EXPORTER=none"}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PAKHUIS_") && !strings.HasPrefix(variable, "REGISTRY_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// An address that was free a moment ago: not every peer can say which port the kernel gave it.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
