package registry_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
	"github.com/assay-dev/assay/trust"
)

func TestMirrors(t *testing.T) {
	down := registrytest.Status(http.StatusInternalServerError, nil, "")
	tests := []struct {
		name           string
		mirror, origin registrytest.Fault
		lacks          bool // the mirror does not have the image
		want           string
		notFound       bool
		atOrigin       int // requests
	}{
		{name: "mirror has it"},
		{name: "mirror has it, origin is down", origin: down},
		{name: "mirror lacks it", lacks: true, atOrigin: 1},
		{name: "mirror is down", mirror: down, atOrigin: 1},
		{name: "mirror cuts", mirror: registrytest.CutConnection(), atOrigin: 1},
		{name: "mirror hangs", mirror: registrytest.Hang(), atOrigin: 1},
		{name: "mirror has other bytes", mirror: registrytest.WrongBytes(), atOrigin: 1},
		{name: "mirror lacks it, origin is down", lacks: true, origin: down, want: "500 Internal Server Error (before that, mirror 127.", atOrigin: 1},
		{name: "mirror is down, origin lacks it", mirror: down, origin: registrytest.Status(404, nil, ""), want: "404 Not Found (before that, mirror 127.", notFound: true, atOrigin: 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mirror := registrytest.New(t, registrytest.Options{})
			origin := registrytest.New(t, registrytest.Options{})
			digest := origin.PushImage(repo, "1.0", "", "seed")
			mirror.PushImage("proxy/other", "1.0", "", "another")
			if !tt.lacks {
				mirror.PushImage("proxy/"+repo, "1.0", "", "seed")
			}
			for s, f := range map[*registrytest.Server]registrytest.Fault{mirror: tt.mirror, origin: tt.origin} {
				if f != nil {
					s.SetFault(nil, f)
				}
			}
			c := newClient(t, registry.Config{
				Registries:     []registry.Settings{{Host: origin.Host(), InsecurePlainHTTP: true, Mirrors: []string{mirror.Host() + "/proxy"}}},
				RequestTimeout: time.Second,
			})
			m, err := c.Manifest(t.Context(), tagged(t, origin, "1.0").At(digest))
			switch {
			case tt.want == "" && (err != nil || m.Digest != digest):
				t.Errorf("got %v, %v", m.Digest, err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, trust.ErrNotFound) != tt.notFound):
				t.Errorf("got %v, want %q, not found %t", err, tt.want, tt.notFound)
			}
			if n := len(origin.Requests()); n != tt.atOrigin {
				t.Errorf("%d requests at the origin, want %d", n, tt.atOrigin)
			}
			wantLines(t, mirror, "GET /v2/proxy/prod/api/manifests/"+digest.String())
		})
	}
}

// TestMirrorsAreNotAskedForNames shows that tags and referrers, which cannot be verified by a digest, are the origin's to tell.
func TestMirrorsAreNotAskedForNames(t *testing.T) {
	mirror := registrytest.New(t, registrytest.Options{})
	origin := registrytest.New(t, registrytest.Options{})
	want := origin.PushImage(repo, "1.0", "", "new")
	mirror.PushImage(repo, "1.0", "", "old")
	c := newClient(t, registry.Config{Registries: []registry.Settings{
		{Host: origin.Host(), InsecurePlainHTTP: true, Mirrors: []string{mirror.Host()}},
	}})
	ref := tagged(t, origin, "1.0")
	d, err := c.Resolve(t.Context(), ref)
	if err != nil || d.Digest != want {
		t.Errorf("got %v, %v; want %s", d.Digest, err, want)
	}
	m, err := c.Manifest(t.Context(), ref)
	if err != nil || m.Digest != want {
		t.Errorf("got %v, %v; want %s", m.Digest, err, want)
	}
	if _, err := c.Referrers(t.Context(), ref.At(want)); err != nil {
		t.Error(err)
	}
	wantLines(t, mirror)
}

// TestMirrorGetsAShareOfTheTime shows that a slow mirror leaves the origin time before the deadline.
func TestMirrorGetsAShareOfTheTime(t *testing.T) {
	mirror := registrytest.New(t, registrytest.Options{})
	origin := registrytest.New(t, registrytest.Options{})
	mirror.SetFault(nil, registrytest.Hang())
	digest := origin.PushImage(repo, "1.0", "", "seed")
	c := newClient(t, registry.Config{Registries: []registry.Settings{
		{Host: origin.Host(), InsecurePlainHTTP: true, Mirrors: []string{mirror.Host()}},
	}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := c.Manifest(ctx, tagged(t, origin, "1.0").At(digest)); err != nil {
		t.Error(err)
	}
}

func TestRetries(t *testing.T) {
	after := func(value string) http.Header { return http.Header{"Retry-After": {value}} }
	tests := []struct {
		name     string
		fault    registrytest.Fault
		times    int
		requests int
		wait     time.Duration // before the second request, if it is asked for
		want     string        // "" is success
	}{
		{"429 once", registrytest.Status(429, nil, ""), 1, 2, 0, ""},
		{"503 twice", registrytest.Status(503, nil, ""), 2, 3, 0, ""},
		{"502 for ever", registrytest.Status(502, nil, ""), 9, 3, 0, "502 Bad Gateway"},
		{"cut once", registrytest.CutConnection(), 1, 2, 0, ""},
		{"cut body once", registrytest.CutBody(), 1, 2, 0, ""},
		{"Retry-After in seconds", registrytest.Status(429, after("7"), ""), 1, 2, 7 * time.Second, ""},
		{"Retry-After in the past", registrytest.Status(429, after("Mon, 02 Jan 2006 15:04:05 GMT"), ""), 1, 2, 0, ""},
		{"Retry-After too long", registrytest.Status(429, after("3600"), ""), 1, 1, 0, "429 Too Many Requests"},
		{"Retry-After past the deadline", registrytest.Status(429, after("12"), ""), 1, 1, 0, "429 Too Many Requests"},
		{"500 is no reason", registrytest.Status(500, nil, ""), 1, 1, 0, "500 Internal Server Error"},
		{"403 is no reason", registrytest.Status(403, nil, ""), 1, 1, 0, "403 Forbidden"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := registrytest.New(t, registrytest.Options{})
			digest := s.PushImage(repo, "1.0", "", "seed")
			s.SetFault(nil, registrytest.Times(tt.times, tt.fault))
			c := newClient(t, registry.Config{Retries: 2})
			var waits []time.Duration
			c.SetSleep(func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil })
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := c.Manifest(ctx, tagged(t, s, "1.0").At(digest))
			if tt.want == "" && err != nil {
				t.Error(err)
			} else if tt.want != "" {
				wantCannotTell(t, err, tt.want)
			}
			if n := len(s.Requests()); n != tt.requests {
				t.Errorf("%d requests, want %d", n, tt.requests)
			}
			if tt.wait > 0 && (len(waits) != 1 || waits[0] != tt.wait) {
				t.Errorf("waited %v, want %s", waits, tt.wait)
			}
		})
	}
}

func TestZeroRef(t *testing.T) {
	c := newClient(t, registry.Config{})
	var ref image.Ref
	for name, ask := range map[string]func() error{
		"Resolve":  func() error { _, err := c.Resolve(t.Context(), ref); return err },
		"Manifest": func() error { _, err := c.Manifest(t.Context(), ref); return err },
		"Blob": func() error {
			_, err := c.Blob(t.Context(), ref, trust.Descriptor{Digest: digestOf("")}, 1)
			return err
		},
		"Referrers":    func() error { _, err := c.Referrers(t.Context(), ref); return err },
		"PushBlob":     func() error { return c.PushBlob(t.Context(), ref, nil) },
		"PushManifest": func() error { return c.PushManifest(t.Context(), ref, "", nil) },
	} {
		t.Run(name, func(t *testing.T) { wantCannotTell(t, ask(), "") })
	}
}
