//go:build linux

package node_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/enforce/node"
)

// A user who may ask nothing cannot fill the log: where lines are counted off, as by journald, the verdicts of others would be lost.
func TestT42_StrangersDoNotFillTheLog(t *testing.T) {
	now := time.Unix(1000, 0)
	var log bytes.Buffer
	c := node.Config{Decisions: deciding(allowing()), Log: slog.New(slog.NewTextHandler(&log, nil))}.Faking(user(4711)).At(func() time.Time { return now })
	d := serve(t, c)
	ask := func(times int) {
		for range times {
			if status, _ := post(t, d.socket, "/v1/decisions", "{}"); status != http.StatusForbidden {
				t.Fatalf("got %d", status)
			}
		}
	}
	ask(100)
	if got := strings.Count(log.String(), "\n"); got != 10 {
		t.Errorf("got %d lines, want 10", got)
	}
	if got := d.counts.get(node.Forbidden); got != 100 {
		t.Errorf("counted %d, want 100", got)
	}
	log.Reset()
	now = now.Add(2 * time.Second)
	ask(5)
	if got := log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "untold=90") || strings.Count(got, "untold=") != 1 {
		t.Errorf("got %s", got)
	}
	// A clock that is set back tells nobody more, and nobody less for long.
	log.Reset()
	now = now.Add(-time.Hour)
	ask(1)
	now = now.Add(time.Second)
	ask(1)
	if got := strings.Count(log.String(), "\n"); got != 1 {
		t.Errorf("got %d lines, want 1", got)
	}
}
