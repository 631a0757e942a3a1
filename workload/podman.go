package workload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of the clients for Podman.
const (
	maxPodmans = 64 // users whose Podman is asked, one after another
	podmanIdle = 5 * time.Minute
)

// PodmanTemplate is where the sockets of users' Podmans are.
type PodmanTemplate struct{ before, after string }

// ParsePodmanTemplate reads a host with one %d for the number of the user; %% is a percent sign. An error is the cause alone, without the name
// of a key.
func ParsePodmanTemplate(text string) (PodmanTemplate, error) {
	var parts []string
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			part.WriteByte(text[i])
			continue
		}
		i++
		switch {
		case i == len(text):
			return PodmanTemplate{}, errors.New("trailing % at end of template")
		case text[i] == '%':
			part.WriteByte('%')
		case text[i] == 'd':
			parts = append(parts, part.String())
			part.Reset()
		default:
			return PodmanTemplate{}, errors.New("template only supports escaped %% or the %d UID placeholder")
		}
	}
	if len(parts) != 1 {
		return PodmanTemplate{}, errors.New("template must contain exactly one %d UID placeholder")
	}
	return PodmanTemplate{before: parts[0], after: part.String()}, nil
}

// Host returns the host of a user's Podman.
func (t PodmanTemplate) Host(uid uint32) string {
	return t.before + strconv.FormatUint(uint64(uid), 10) + t.after
}

// PodmanConfig is where Podman is asked.
type PodmanConfig struct {
	Host     string // of root's, "unix:///run/podman/podman.sock"
	Template string // of users', "unix:///run/user/%d/podman/podman.sock"
	Go       func(name string, fn func())
	Now      func() time.Time
	Sleep    func(context.Context, time.Duration) error
	Log      *slog.Logger
}

// Podman has one client for each socket of Podman, for as long as it is used. It is safe for concurrent use.
type Podman struct {
	config   DockerConfig // without host and owner
	host     string
	template PodmanTemplate

	pause    func(context.Context, time.Duration) error
	lifetime context.Context
	end      context.CancelFunc

	mu      sync.Mutex
	clients map[string]*podmanClient // by host
	tidying bool
}

type podmanClient struct {
	docker *Docker
	used   time.Time
}

// OpenPodman makes a Podman. Nothing is asked yet. An error is that of the template, in the words of the page of compatibility.
func OpenPodman(c PodmanConfig) (*Podman, error) {
	template, err := ParsePodmanTemplate(c.Template)
	if err != nil {
		return nil, fmt.Errorf("invalid podman_socket_path_template: %w", err)
	}
	config := DockerConfig{Go: c.Go, Now: c.Now, Sleep: c.Sleep, Log: c.Log}.filled()
	p := &Podman{config: config, host: c.Host, template: template, pause: sleep, clients: map[string]*podmanClient{}}
	p.lifetime, p.end = context.WithCancel(context.Background())
	return p, nil
}

// At returns the client for a place. It needs no Close, and must not be kept: clients that nobody asked for are closed. The socket of a user
// must belong to that user.
func (p *Podman) At(place PodmanPlace) (*Docker, error) {
	config := p.config
	config.Host = p.host
	if place.Rootless {
		config.Host, config.Owner = p.template.Host(place.UID), &place.UID
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.clients[config.Host]; known != nil {
		known.used = config.Now()
		return known.docker, nil
	}
	docker, err := OpenDocker(config)
	if err == nil {
		err = p.lifetime.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("unable to create Podman client for socket %q: %w", config.Host, err)
	}
	p.makeRoom()
	p.clients[config.Host] = &podmanClient{docker: docker, used: config.Now()}
	if !p.tidying {
		p.tidying = true
		config.Go("podman clients", p.tidy)
	}
	return docker, nil
}

// makeRoom closes the client that nobody asked for the longest, where there are too many for one more.
func (p *Podman) makeRoom() {
	if len(p.clients) < maxPodmans {
		return
	}
	oldest := ""
	for host, c := range p.clients {
		if oldest == "" || c.used.Before(p.clients[oldest].used) {
			oldest = host
		}
	}
	p.drop(oldest)
}

// tidy closes the clients that nobody asked for in a while, until there are none.
func (p *Podman) tidy() {
	for p.pause(p.lifetime, podmanIdle) == nil && p.dropIdle() {
	}
}

// dropIdle reports whether clients are left.
func (p *Podman) dropIdle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for host, c := range p.clients {
		if p.config.Now().Sub(c.used) >= podmanIdle {
			p.drop(host)
		}
	}
	p.tidying = len(p.clients) > 0
	return p.tidying
}

func (p *Podman) drop(host string) {
	p.clients[host].docker.Close()
	delete(p.clients, host)
}

// Close closes all clients. Nothing is asked any more.
func (p *Podman) Close() {
	p.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	for host := range p.clients {
		p.drop(host)
	}
}
