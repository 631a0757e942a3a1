package shared

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// conn is a connection to the cache, used by one goroutine at a time. After an error that is no complaint it is of no use.
type conn struct {
	net.Conn
	read *bufio.Reader
	used time.Time // when it last was
	era  int       // of the settings with which it was made
}

func newConn(c net.Conn) *conn { return &conn{Conn: c, read: bufio.NewReaderSize(c, 4<<10)} }

// complaint is an error that the cache answered with; the connection goes on.
type complaint string

// Error implements error.
func (c complaint) Error() string { return "the cache says: " + string(c) }

// printable is what of a foreign text can stand in a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

var errProtocol = errors.New("is no answer of a cache")

// reply is one answer. The zero value is the one that there is nothing.
type reply struct {
	found bool
	bytes []byte
	err   error // a complaint
}

// ask sends commands at once and reads as many answers. limit bounds an answer's bytes. The connection's deadline bounds it all.
func (c *conn) ask(limit int, commands ...[]string) ([]reply, error) {
	var b strings.Builder
	for _, words := range commands {
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		return nil, err
	}
	replies := make([]reply, len(commands))
	for i := range replies {
		var err error
		if replies[i], err = c.reply(limit); err != nil {
			return nil, err
		}
	}
	if c.read.Buffered() > 0 {
		return nil, errProtocol // it says more than it was asked, which would be taken for the next answer
	}
	return replies, nil
}

// reply reads one answer: a line, a complaint, or a text of known length. Of the protocol there is nothing else that a command here can
// be answered with.
func (c *conn) reply(limit int) (reply, error) {
	line, err := c.line()
	if err != nil {
		return reply{}, err
	}
	rest := line[1:]
	switch line[0] {
	case '+':
		return reply{found: true, bytes: []byte(rest)}, nil
	case '-':
		return reply{err: complaint(printable(rest))}, nil
	case '$':
		return c.text(rest, limit)
	}
	return reply{}, errProtocol
}

// text reads a text whose length was announced; nothing is allocated for what is too long.
func (c *conn) text(length string, limit int) (reply, error) {
	if length == "-1" {
		return reply{}, nil
	}
	n, err := strconv.ParseUint(length, 10, 32)
	switch {
	case err != nil:
		return reply{}, errProtocol
	case n > uint64(limit):
		return reply{}, tooLargeError(limit)
	}
	text := make([]byte, n+2)
	if _, err := io.ReadFull(c.read, text); err != nil {
		return reply{}, err
	}
	if string(text[n:]) != "\r\n" {
		return reply{}, errProtocol
	}
	return reply{found: true, bytes: text[:n]}, nil
}

// tooLargeError is of an answer that was not read.
type tooLargeError int

// Error implements error.
func (e tooLargeError) Error() string { return fmt.Sprintf("an answer of more than %d bytes", int(e)) }

// line reads a line without its end; it is not empty.
func (c *conn) line() (string, error) {
	line, err := c.read.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull), err == nil && len(line) > maxLine:
		return "", errProtocol
	case err != nil:
		return "", err
	case len(line) < 3 || line[len(line)-2] != '\r':
		return "", errProtocol
	}
	return string(line[:len(line)-2]), nil
}
