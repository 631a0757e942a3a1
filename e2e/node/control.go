//go:build linux

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxOrder is the most that is read of an order and of its answer.
const maxOrder = 4 << 10

// listen answers orders at the folder's socket: a line with verb and name of a program; the answer is empty, or why not.
func (c *cluster) listen() error {
	socket := filepath.Join(c.folder, controlFile)
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return // the cluster ends
			}
			go c.answer(conn)
		}
	}()
	return nil
}

func (c *cluster) answer(conn net.Conn) {
	defer conn.Close()
	line, err := bufio.NewReader(io.LimitReader(conn, maxOrder)).ReadString('\n')
	if err == nil {
		err = c.obey(strings.TrimSpace(line))
	}
	if err != nil {
		fmt.Fprint(conn, err)
	}
}

func (c *cluster) obey(order string) error {
	verb, name, _ := strings.Cut(order, " ")
	for _, p := range c.peers {
		if p.name != name {
			continue
		}
		switch verb {
		case "start":
			return p.start(c.folder)
		case "stop":
			return p.end(syscall.SIGTERM)
		case "kill":
			return p.end(syscall.SIGKILL)
		}
		return fmt.Errorf("%s: want start, stop or kill", verb)
	}
	return fmt.Errorf("%s: no such program", name)
}

// ask gives an order to the cluster of a folder.
func ask(folder, order string) error {
	conn, err := net.Dial("unix", filepath.Join(folder, controlFile))
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := fmt.Fprintln(conn, order); err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxOrder))
	if err == nil && len(answer) > 0 {
		err = errors.New(string(answer))
	}
	return err
}
