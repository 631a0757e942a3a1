package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// load is what came of asking a server for a while.
type load struct {
	rate     float64       // requests a second
	cpu      time.Duration // of the server, for one request
	p50, p99 time.Duration
}

// measure asks a server over several connections at once for a while. The client is a bare one, the same for all servers: it writes the
// bytes of a request and reads those of an answer, and so leaves the processors to the server.
func measure(p *process, request []byte, connections int, d time.Duration) (load, error) {
	clients := make([]*client, connections)
	for i := range clients {
		c, err := dial(p.address)
		if err != nil {
			return load{}, err
		}
		defer c.conn.Close()
		clients[i] = c
		if err := c.ask(request); err != nil {
			return load{}, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	before, err := p.cpu()
	if err != nil {
		return load{}, err
	}
	start := time.Now()
	var group sync.WaitGroup
	for _, c := range clients {
		group.Go(func() { c.keepAsking(request, start.Add(d)) })
	}
	group.Wait()
	took := time.Since(start)
	after, err := p.cpu()
	if err != nil {
		return load{}, err
	}
	var all []time.Duration
	for _, c := range clients {
		if c.failed != nil {
			return load{}, fmt.Errorf("%s: %w", p.name, c.failed)
		}
		all = append(all, c.took...)
	}
	slices.Sort(all)
	return load{
		rate: float64(len(all)) / took.Seconds(), cpu: (after - before) / time.Duration(len(all)),
		p50: all[len(all)/2], p99: all[len(all)*99/100],
	}, nil
}

// client is one kept connection.
type client struct {
	conn   *tls.Conn
	reader *bufio.Reader
	body   []byte
	took   []time.Duration
	failed error
}

func dial(address string) (*client, error) {
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, reader: bufio.NewReaderSize(conn, 16<<10)}, nil
}

func (c *client) keepAsking(request []byte, until time.Time) {
	for {
		start := time.Now()
		if start.After(until) {
			return
		}
		if c.failed = c.ask(request); c.failed != nil {
			return
		}
		c.took = append(c.took, time.Since(start))
	}
}

// ask wants that the answer allows.
func (c *client) ask(request []byte) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	status, err := c.reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	length := -1
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := bytes.TrimRight(line, "\r\n")
		if len(text) == 0 {
			break
		}
		if value, found := bytes.CutPrefix(text, []byte("Content-Length: ")); found {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("an answer without a length")
	}
	c.body = slices.Grow(c.body[:0], length)[:length]
	if _, err := io.ReadFull(c.reader, c.body); err != nil {
		return err
	}
	if !ok || !bytes.Contains(c.body, []byte(`"allowed":true`)) {
		return fmt.Errorf("not allowed: %s", c.body)
	}
	return nil
}

// requestOf writes a request as the API server does.
func requestOf(body string) []byte {
	var b strings.Builder
	b.WriteString("POST /validate?timeout=10s HTTP/1.1\r\nHost: assay.assay.svc:443\r\nUser-Agent: kube-apiserver-admission\r\n")
	fmt.Fprintf(&b, "Content-Length: %d\r\nAccept: application/json, */*\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n", len(body))
	b.WriteString(body)
	return []byte(b.String())
}
