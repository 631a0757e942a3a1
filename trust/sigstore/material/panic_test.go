package material

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A panic while something is fetched is logged, and it is tried again.
func TestRunOutlivesPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logged
		asked := 0
		k, err := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Transport: roundTripper(func(*http.Request) (*http.Response, error) {
			asked++
			panic("hostile answer")
		})})
		if err != nil {
			t.Fatal(err)
		}
		k.PublicGood(0)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { k.Run(ctx); close(ended) }()
		time.Sleep(10 * time.Minute) // of the bubble
		synctest.Wait()
		cancel()
		<-ended
		if asked < 2 || !strings.Contains(log.String(), "hostile answer") {
			t.Errorf("asked %d times; log %s", asked, log.String())
		}
	})
}

// A panic while everything is fetched at once is an error, and not the end of the process.
func TestRefreshOutlivesPanics(t *testing.T) {
	k, err := New(Config{Transport: roundTripper(func(*http.Request) (*http.Response, error) { panic("hostile answer") })})
	if err != nil {
		t.Fatal(err)
	}
	k.PublicGood(0)
	if err := k.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "hostile answer") {
		t.Errorf("got %v", err)
	}
}
