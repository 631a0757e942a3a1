package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

// What a verdict rests on is told without one request more, cold and warm, and is what it says beside a chain.
func TestT27_RestsAsksNobody(t *testing.T) {
	w := newWorld(t)
	ref := w.image("app/api", "1", "a")
	cert := w.sign(w.right, ref)
	rests := func(name string) engine.Verdict {
		return w.engine.Decide(context.Background(), engine.Request{Image: name, Request: policy.Request{Point: "cli"}, Rests: true})
	}
	plain := func(name string) engine.Verdict { return w.decide(name) }
	counted := func(ask func(string) engine.Verdict, name string) (engine.Verdict, int) {
		w.use(simple) // another process
		w.server.ResetRequests()
		v := ask(name)
		return v, len(w.server.Requests())
	}
	for _, name := range []string{ref.String(), w.server.Host() + "/app/api:1"} {
		_, without := counted(plain, name)
		v, with := counted(rests, name)
		if with != without || with == 0 {
			t.Errorf("%s: got %d requests, want %d", name, with, without)
		}
		if !v.Allowed || len(v.Chain) > 0 || v.ChainError != "" || v.Basis != w.engine.Basis(policy.Request{Point: "cli"}) || v.Basis == "" {
			t.Errorf("got %s, the chain %v %q, the basis %q", v.String(), v.Chain, v.ChainError, v.Basis)
		}
		beside := w.content(name, "")
		if !v.Until.Equal(beside.Until) || !v.Ends.Equal(beside.Ends) || !v.Ends.Equal(cert.NotAfter.Add(time.Second)) && !v.Ends.Equal(cert.NotAfter) {
			t.Errorf("got until %v, ends %v; beside a chain %v, %v; the certificate ends at %v", v.Until, v.Ends, beside.Until, beside.Ends, cert.NotAfter)
		}
		w.server.ResetRequests()
		if again := rests(name); !again.Cached || again.Basis != v.Basis {
			t.Errorf("warm: got cached %v, basis %q", again.Cached, again.Basis)
		}
		w.wantRequests(0)
	}
	unsigned := image.MustParse(w.server.Host() + "/app/api@" + w.server.PushImage("app/api", "2", "linux/amd64", "b").String())
	if v := rests(unsigned.String()); v.Allowed || v.Basis == "" || !v.Until.IsZero() || !v.Ends.IsZero() {
		t.Errorf("a no: got %s, basis %q, until %v, ends %v", v.String(), v.Basis, v.Until, v.Ends)
	}
}
