package shared

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// Address is where a cache is. The zero value is nowhere.
type Address struct {
	network, address string
	host             string // whose certificate counts
	database         string
	tls              bool
}

const (
	defaultPort = "6379"
	maxDatabase = 1 << 16
)

// ParseAddress reads redis://HOST[:PORT][/DATABASE], rediss:// the same with TLS, or unix:///SOCKET. What is secret does not stand in it:
// processes show their command lines.
func ParseAddress(text string) (Address, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Address{}, errors.New("is no URL") // its error shows it, and it may hold a password
	case u.User != nil:
		return Address{}, errors.New("holds a user or a password, which have files of their own")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return Address{}, errors.New("has something behind the path")
	}
	switch u.Scheme {
	case "redis", "rediss", "valkey", "valkeys":
		return parseHost(u)
	case "unix":
		if u.Host != "" || !path.IsAbs(u.Path) {
			return Address{}, errors.New("want unix:///PATH, of a socket")
		}
		return Address{network: "unix", address: u.Path}, nil
	}
	return Address{}, errors.New("want redis://HOST:PORT, rediss://HOST:PORT with TLS, or unix:///PATH")
}

func parseHost(u *url.URL) (Address, error) {
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || u.Hostname() == "" {
		return Address{}, errors.New("want a host, and perhaps a port")
	}
	database := strings.TrimPrefix(u.Path, "/")
	if n, err := strconv.ParseUint(database, 10, 32); database != "" && (err != nil || n > maxDatabase) {
		return Address{}, fmt.Errorf("want the number of a database as its path, %d at most", maxDatabase)
	}
	return Address{
		network: "tcp", address: net.JoinHostPort(u.Hostname(), port), host: u.Hostname(), database: database,
		tls: u.Scheme == "rediss" || u.Scheme == "valkeys",
	}, nil
}

// TLS reports whether the connection is encrypted.
func (a Address) TLS() bool { return a.tls }

// Private reports whether nobody on a network can read the connection.
func (a Address) Private() bool {
	ip := net.ParseIP(a.host)
	return a.tls || a.network == "unix" || a.host == "localhost" || ip != nil && ip.IsLoopback()
}

// verifying returns how the certificate of the cache is checked.
func (a Address) verifying(given *tls.Config) *tls.Config {
	c := &tls.Config{}
	if given != nil {
		c = given.Clone()
	}
	c.ServerName, c.MinVersion = a.host, max(c.MinVersion, tls.VersionTLS12)
	return c
}
