// Package sharedtest is a cache for tests that speaks as much of the protocol of Redis as Assay uses, and lies, dawdles and breaks on demand.
package sharedtest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is a cache at an address of this host. Entries do not end by themselves, whatever PX says: a cache can forget to forget.
type Server struct {
	t        testing.TB
	address  string
	secured  *tls.Config
	password string

	mu       sync.Mutex
	listener net.Listener
	entries  map[string]string
	times    map[string]time.Duration
	commands []string
	conns    map[net.Conn]bool
	fault    Fault
	group    sync.WaitGroup
}

// Fault answers a command in the server's place, which goes on where it returns false.
type Fault func(c net.Conn, command []string) bool

// New starts a server that ends with the test. password "" asks for none; secured nil is without TLS.
func New(t testing.TB, password string, secured *tls.Config) *Server {
	t.Helper()
	s := &Server{t: t, address: "127.0.0.1:0", password: password, secured: secured, entries: map[string]string{}, times: map[string]time.Duration{}, conns: map[net.Conn]bool{}}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Start listens again, where it did before.
func (s *Server) Start() {
	s.t.Helper()
	l, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = l.Addr().String()
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	s.group.Go(func() { s.accept(l) })
}

// Stop ends the server and its connections. Entries stay.
func (s *Server) Stop() {
	s.mu.Lock()
	_ = s.listener.Close()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.group.Wait()
}

// URL is where the server is.
func (s *Server) URL() string {
	if s.secured != nil {
		return "rediss://" + s.address
	}
	return "redis://" + s.address
}

// SetFault has a fault answer; nil: none.
func (s *Server) SetFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Entries returns what is kept.
func (s *Server) Entries() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.entries)
}

// Times returns for how long entries were to be kept.
func (s *Server) Times() map[string]time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.times)
}

// Change has change write all entries anew.
func (s *Server) Change(change func(entries map[string]string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s.entries)
}

// Commands returns the names of the commands so far, and forgets them.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.commands
	s.commands = nil
	return all
}

// Await waits until the server has so many entries.
func (s *Server) Await(entries int) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if len(s.Entries()) == entries {
			return
		}
	}
	s.t.Fatalf("got %d entries, want %d", len(s.Entries()), entries)
}

func (s *Server) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.group.Go(func() {
			defer func() {
				_ = c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
			if s.secured != nil {
				s.serve(tls.Server(c, s.secured))
				return
			}
			s.serve(c)
		})
	}
}

func (s *Server) serve(c net.Conn) {
	r := bufio.NewReader(c)
	known := s.password == ""
	for {
		command, err := read(r)
		if err != nil {
			return
		}
		s.mu.Lock()
		fault := s.fault
		s.commands = append(s.commands, command[0])
		s.mu.Unlock()
		if fault != nil && fault(c, command) {
			continue
		}
		answer := s.answer(&known, command)
		if _, err := io.WriteString(c, answer); err != nil {
			return
		}
	}
}

func (s *Server) answer(known *bool, command []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case command[0] == "AUTH":
		if *known = slices.Contains(command[1:], s.password) && s.password != ""; !*known {
			return "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
		}
		return "+OK\r\n"
	case !*known:
		return "-NOAUTH Authentication required.\r\n"
	case command[0] == "SELECT":
		return "+OK\r\n"
	case command[0] == "GET" && len(command) == 2:
		if v, found := s.entries[command[1]]; found {
			return fmt.Sprintf("$%d\r\n%s\r\n", len(v), v)
		}
		return "$-1\r\n"
	case command[0] == "SET" && len(command) == 5 && command[3] == "PX":
		ms, _ := strconv.Atoi(command[4])
		s.entries[command[1]], s.times[command[1]] = command[2], time.Duration(ms)*time.Millisecond
		return "+OK\r\n"
	}
	return "-ERR unknown command\r\n"
}

// read reads a command.
func read(r *bufio.Reader) ([]string, error) {
	count, err := length(r, "*")
	if err != nil || count < 1 {
		return nil, fmt.Errorf("no command: %w", err)
	}
	words := make([]string, count)
	for i := range words {
		n, err := length(r, "$")
		if err != nil {
			return nil, err
		}
		word := make([]byte, n+2)
		if _, err := io.ReadFull(r, word); err != nil {
			return nil, err
		}
		words[i] = string(word[:n])
	}
	return words, nil
}

func length(r *bufio.Reader, kind string) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(line, kind), "\r\n"))
}
