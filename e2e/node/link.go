//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Addresses inside. The network of services and pods is seen by nobody outside, so that all clusters have the same.
const (
	serviceNetwork = "10.96.0.0/16"
	serviceAddress = "10.96.0.1" // of the API server
	podNetwork     = "10.244.0.0/24"
)

// maxLinks is how many clusters a machine can have at once.
const maxLinks = 200

// linkPrefix begins the names of interfaces and control groups.
const linkPrefix = "assay"

// link is a pair of interfaces: one on the host, named assayN, and one in the cluster, which is the node's.
type link struct {
	name    string
	network *os.File // the cluster's; nil inside. Held, so that the pair, and with it the number, stays ours until remove
}

// newLink makes the first pair whose number is free; that the name is taken at once makes the number ours.
func newLink() (*link, error) {
	for n := range maxLinks {
		l := &link{name: linkPrefix + strconv.Itoa(n)}
		err := ip("link", "add", l.name, "type", "veth", "peer", "name", l.name+"n")
		if err == nil {
			return l, errors.Join(ip("address", "add", l.host().String()+"/30", "dev", l.name), ip("link", "set", l.name, "up"))
		}
		if _, taken := net.InterfaceByName(l.name); taken != nil {
			return nil, fmt.Errorf("%w: %w", errUnable, err)
		}
	}
	return nil, fmt.Errorf("%d clusters run on this machine already", maxLinks)
}

// give moves the other end to a process's network.
func (l *link) give(pid int) error {
	var err error
	if l.network, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
		return err
	}
	return ip("link", "set", l.name+"n", "netns", strconv.Itoa(pid))
}

// attach sets up the network inside.
func (l *link) attach() error {
	return errors.Join(
		ip("link", "set", "lo", "up"),
		ip("link", "set", l.name+"n", "name", "eth0"),
		ip("address", "add", l.node().String()+"/30", "dev", "eth0"),
		ip("link", "set", "eth0", "up"),
		ip("route", "add", "default", "via", l.host().String()))
}

// remove ends the pair.
func (l *link) remove() {
	_ = ip("link", "delete", l.name) // what is left of it ends with the network
	if l.network != nil {
		_ = l.network.Close()
	}
}

// Addresses are of the network for benchmarks (RFC 2544), four for each cluster: hardly anybody uses it.
func (l *link) host() netip.Addr { return l.address(1) }
func (l *link) node() netip.Addr { return l.address(2) }

func (l *link) address(n int) netip.Addr {
	number, err := strconv.Atoi(strings.TrimPrefix(l.name, linkPrefix))
	if err != nil {
		panic(err) // made by newLink
	}
	return netip.AddrFrom4([4]byte{198, 18, byte(number), byte(n)})
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
