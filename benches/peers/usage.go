package peers

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// The unit of /proc/PID/stat on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// CPU is the user and system time of the server so far. A server that is gone ends the measurement: no figure of it is true.
func (server *Server) CPU() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", server.PID()))
	if err != nil {
		panic(fmt.Sprintf("%s has ended while it was measured: %v", server.Peer.Name, err))
	}
	// After the name of the program in parentheses; utime and stime are fields 14 and 15 of proc(5).
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * tick
}

// PeakRSS is the most memory that the server ever had resident, in bytes.
func (server *Server) PeakRSS() int64 {
	return server.status("VmHWM:")
}

// RSS is the memory that the server has resident now, in bytes.
func (server *Server) RSS() int64 {
	return server.status("VmRSS:")
}

// ResetPeakRSS makes PeakRSS start anew.
func (server *Server) ResetPeakRSS() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", server.PID()), []byte("5"), 0)
}

func (server *Server) status(field string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.PID()))
	for _, line := range strings.Split(string(text), "\n") {
		if words := strings.Fields(line); len(words) == 3 && words[0] == field {
			kibibytes, _ := strconv.ParseInt(words[1], 10, 64)
			return kibibytes << 10
		}
	}
	return 0
}
