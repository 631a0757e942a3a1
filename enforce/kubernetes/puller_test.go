package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/trust"
)

func TestDIA35_WhatAnObjectIsPulledWith(t *testing.T) {
	const spec = `{"containers":[{"name":"c","image":"r.example/a:1"}],"imagePullSecrets":[{"name":"one"},{"name":"two"},{}],"serviceAccountName":"builder"}`
	want := Puller{Secrets: []string{"one", "two"}, Accounts: []string{"builder"}}
	custom, err := Kind{Group: "g", Kind: "K", Paths: []string{"/spec/a", "/spec/b?"}}.compile()
	if err != nil {
		t.Fatal(err)
	}
	kinds := builtin()
	tests := []struct {
		name, object string
		place        *place
		want         Puller
	}{
		{"pod", `{"spec":` + spec + `}`, kinds[podKind], want},
		{"deployment", `{"spec":{"template":{"spec":` + spec + `}}}`, kinds[kindKey{"apps", "Deployment"}], want},
		{"cron job", `{"spec":{"jobTemplate":{"spec":{"template":{"spec":` + spec + `}}}}}`, kinds[kindKey{"batch", "CronJob"}], want},
		{"no names", `{"spec":{"containers":[],"imagePullSecrets":null,"serviceAccountName":""}}`, kinds[podKind], Puller{}},
		{"names elsewhere", `{"imagePullSecrets":[{"name":"x"}],"metadata":{"serviceAccountName":"x"},"spec":{"containers":[{"imagePullSecrets":[{"name":"x"}],"serviceAccountName":"x"}]}}`,
			kinds[podKind], Puller{}},
		{"two templates", `{"spec":{"a":{"spec":` + spec + `},"b":{"spec":{"containers":[],"serviceAccountName":"other"}}}}`, custom.place,
			Puller{Secrets: []string{"one", "two"}, Accounts: []string{"builder", "other"}}},
		{"other shapes", `{"spec":{"a":{"image":"r.example/a:1","imagePullSecrets":["one",{"name":1}],"serviceAccountName":{}},"b":{"image":"r.example/b:1","imagePullSecrets":"one"}}}`,
			custom.place, Puller{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := search(&scanner{data: []byte(tt.object)}, tt.place)
			if err != nil || len(got.odd) > 0 {
				t.Fatalf("%v, %v", err, got.odd)
			}
			if diff := cmp.Diff(tt.want, got.puller); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

// An object that says how it is pulled looks no more like a pod's spec for that.
func TestPullingIsNotFamiliar(t *testing.T) {
	custom, err := Kind{Group: "g", Kind: "K", Paths: []string{"/spec/a"}}.compile()
	if err != nil {
		t.Fatal(err)
	}
	got, err := search(&scanner{data: []byte(`{"spec":{"a":{"serviceAccountName":"x","picture":"r.example/a:1"}}}`)}, custom.place)
	if err != nil || len(got.odd) == 0 {
		t.Errorf("nothing is odd: %v", err)
	}
}

type loginsFunc func(p Puller) (engine.Logins, error)

func (f loginsFunc) Logins(_ context.Context, p Puller) (engine.Logins, error) { return f(p) }

func TestDIA35_ImagesAreAskedAboutWithPullSecrets(t *testing.T) {
	one, err := trust.ReadDockerConfig([]byte(`{"auths":{"r.example":{"username":"u","password":"p"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	logins, err := trust.NewLogins(nil, one...)
	if err != nil {
		t.Fatal(err)
	}
	var asked Puller
	var fails atomic.Bool
	refused := ""
	l := newLab(t, func(c *Config) {
		c.Refused = func(reason string) { refused = reason }
		c.Logins = loginsFunc(func(p Puller) (engine.Logins, error) {
			asked = p
			if fails.Load() {
				return engine.Logins{}, errors.New("secrets \"one\" is forbidden")
			}
			return logins, nil
		})
	})
	object := strings.Replace(pod("r.example/good:1", "r.example/good:2"), `"spec":{`, `"spec":{"serviceAccountName":"builder","imagePullSecrets":[{"name":"one"}],`, 1)
	if got := l.validate(t, change{object: object}); !got.Response.Allowed {
		t.Fatal(got.Body)
	}
	if diff := cmp.Diff(Puller{Namespace: "shop", Secrets: []string{"one"}, Accounts: []string{"builder"}}, asked); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	for _, q := range l.asked {
		if q.Logins.Key() != logins.Key() || strings.Contains(fmt.Sprintf("%v %+v %#v", q, q, q), "\"p\"") {
			t.Errorf("%s was asked about with %v", q.Image, q.Logins)
		}
	}
	fails.Store(true)
	l.decider.asked = nil
	got := l.validate(t, change{object: object})
	if got.Response.Allowed || got.Response.Status.Code != http.StatusServiceUnavailable || len(l.asked) > 0 || refused != "pull-secrets-unknown" {
		t.Errorf("got %s, asked %d, refused %q", got.Body, len(l.asked), refused)
	}
	if !strings.Contains(got.Response.Status.Message, "could not tell with which pull secrets images are pulled in namespace shop: secrets \"one\" is forbidden") {
		t.Errorf("got %q", got.Response.Status.Message)
	}
}
