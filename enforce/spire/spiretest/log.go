package spiretest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
)

// cutFrom is the length from which on the agent cuts lines into pieces.
const cutFrom = 64 << 10

// Line is one line of a plugin's log.
type Line map[string]any

// Text returns a field that is a string.
func (l Line) Text(key string) string {
	text, _ := l[key].(string)
	return text
}

// Message is what the line says.
func (l Line) Message() string { return l.Text("@message") }

// Log is what a plugin wrote to stderr.
type Log struct {
	mu    sync.Mutex
	rest  []byte
	raw   []string
	lines []Line
	flaws []string
	wrote chan struct{} // closed at the next line
}

// NewLog makes a log to which nothing was written yet.
func NewLog() *Log { return &Log{wrote: make(chan struct{})} }

// Write takes a piece of what was written.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		l.rest = append([]byte(nil), rest...)
		l.add(line)
	}
}

func (l *Log) add(line []byte) {
	l.raw = append(l.raw, string(line))
	if len(line) >= cutFrom {
		l.flaws = append(l.flaws, fmt.Sprintf("a line of %d bytes", len(line)))
	}
	read := Line{}
	if err := json.Unmarshal(line, &read); err != nil {
		l.flaws = append(l.flaws, fmt.Sprintf("not JSON: %s", line))
		read = Line{"@message": string(line)}
	}
	for _, key := range []string{"@level", "@message", "@timestamp"} {
		if _, ok := read[key].(string); !ok {
			l.flaws = append(l.flaws, fmt.Sprintf("%s is no string: %.300s", key, line))
		}
	}
	for key, value := range read {
		switch value.(type) {
		case map[string]any, []any:
			l.flaws = append(l.flaws, fmt.Sprintf("%s is not flat: %.300s", key, line))
		}
	}
	l.lines = append(l.lines, read)
	close(l.wrote)
	l.wrote = make(chan struct{})
}

// Raw returns the lines as they were written.
func (l *Log) Raw() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.raw...)
}

// Lines returns the lines as they were read.
func (l *Log) Lines() []Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Line(nil), l.lines...)
}

// Flaws returns what is wrong with the log: what could harm the agent, or is lost on the way to it.
func (l *Log) Flaws() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.flaws...)
}

// Await waits for a line that was written, or will be.
func (l *Log) Await(ctx context.Context, wanted func(Line) bool) (Line, error) {
	seen := 0
	for {
		l.mu.Lock()
		lines, wrote := l.lines, l.wrote
		l.mu.Unlock()
		for ; seen < len(lines); seen++ {
			if wanted(lines[seen]) {
				return lines[seen], nil
			}
		}
		select {
		case <-wrote:
		case <-ctx.Done():
			return nil, fmt.Errorf("no such line among %d: %w", seen, ctx.Err())
		}
	}
}
