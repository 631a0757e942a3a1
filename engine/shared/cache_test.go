package shared

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/shared/sharedtest"
	"github.com/assay-dev/assay/trust"
)

// spoken is a connection whose other side has said everything.
type spoken struct {
	net.Conn
	io.Reader
}

func (s *spoken) Read(p []byte) (int, error)  { return s.Reader.Read(p) }
func (s *spoken) Write(p []byte) (int, error) { return len(p), nil }

// replica is a cache with what it counted and logged.
type replica struct {
	*Cache
	t   testing.TB
	mu  sync.Mutex
	log bytes.Buffer
	n   [events]int
}

// Write implements io.Writer: the log.
func (r *replica) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *replica) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func (r *replica) counted(e Event) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n[e]
}

// await waits until an event has happened so often.
func (r *replica) await(e Event, times int) {
	r.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if r.counted(e) >= times {
			return
		}
	}
	r.t.Fatalf("event %d: got %d, want %d; %s", e, r.counted(e), times, r.logged())
}

// open makes a cache whose questions wait long, so that a busy machine loses none; hurried makes them wait as they do in earnest.
func open(t testing.TB, url string, s Settings, change ...func(*Config)) *replica {
	t.Helper()
	address, err := ParseAddress(url)
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{t: t}
	c := Config{Address: address, Program: "1.0", wait: 10 * time.Second, Log: slog.New(slog.NewJSONHandler(r, nil)), Count: func(e Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.n[e]++
	}}
	for _, one := range change {
		one(&c)
	}
	if r.Cache, err = New(c, s); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func hurried(c *Config) { c.wait = RecallWait }

// answer is one that holds for some time from now.
func answer(holds time.Duration) engine.SharedAnswer {
	now := time.Now()
	return engine.SharedAnswer{Checked: now, Until: now.Add(holds), Proofs: []trust.Proof{{
		Digest: question.Digest, Signers: []trust.Signer{{Key: "SHA256:x", Identity: trust.Identity{Subject: "dev@shop.example"}}},
	}}}
}

// recall asks, and fails the test where that takes longer than a question waits, and what a busy machine adds.
func (r *replica) recall(want bool) {
	r.t.Helper()
	began := time.Now()
	_, found := r.Recall(r.t.Context(), question)
	if took := time.Since(began); took > r.config.wait+500*time.Millisecond {
		r.t.Errorf("it took %v", took)
	}
	if found != want {
		r.t.Errorf("found %v, want %v; %s", found, want, r.logged())
	}
}

func TestT27_TwoReplicas(t *testing.T) {
	s := sharedtest.New(t, "", nil)
	one, two := open(t, s.URL(), Settings{Keys: keysOf(t, 1)}), open(t, s.URL()+"/3", Settings{Keys: keysOf(t, 1)})
	two.recall(false)
	one.Keep(question, answer(time.Minute))
	one.await(Kept, 1)
	two.recall(true)
	for name, holds := range s.Times() {
		if holds > time.Minute || holds < 50*time.Second {
			t.Errorf("%s is kept for %v", name, holds)
		}
	}
	for name, entry := range s.Entries() {
		for _, secret := range []string{"shop", "registry.example", "release", "111111", "dev@"} {
			if strings.Contains(name+entry, secret) {
				t.Errorf("whoever reads the cache reads %q", secret)
			}
		}
	}
	if two.counted(Miss) != 1 || two.counted(Hit) != 1 {
		t.Errorf("counted %v", two.n)
	}
	one.Keep(question, answer(keptAtLeast/2))
	one.await(Dropped, 1)
}

// An entry that was swapped under the name of another question, or is of another program or installation, does not count.
func TestT27_EntriesOfOthers(t *testing.T) {
	s := sharedtest.New(t, "", nil)
	one := open(t, s.URL(), Settings{Keys: keysOf(t, 1)})
	foreign := open(t, s.URL(), Settings{Keys: keysOf(t, 2)})
	older := open(t, s.URL(), Settings{Keys: keysOf(t, 1)}, func(c *Config) { c.Program = "0.9" })
	foreign.Keep(question, answer(time.Minute))
	older.Keep(question, answer(time.Minute))
	other := question
	other.Name += "2"
	one.Keep(other, answer(time.Minute))
	s.Await(3)
	one.recall(false)
	name := keysOf(t, 1).list[0].name("1.0", question)
	for i, entry := range s.Entries() {
		s.Change(func(entries map[string]string) { entries[name] = entry })
		one.recall(false)
		_ = i
	}
	if one.counted(Refused) != 3 {
		t.Errorf("%d were refused", one.counted(Refused))
	}
	if strings.Contains(one.logged(), "WARN") {
		t.Errorf("a cache that lies answers: %s", one.logged())
	}
}

// A new key is put before the old one, and the old one is taken out later: there is no gap, and after that the old one opens nothing.
func TestT27_KeysRotate(t *testing.T) {
	s := sharedtest.New(t, "", nil)
	one, two := open(t, s.URL(), Settings{Keys: keysOf(t, 1)}), open(t, s.URL(), Settings{Keys: keysOf(t, 1)})
	use := func(r *replica, keys ...byte) {
		t.Helper()
		if err := r.Use(Settings{Keys: keysOf(t, keys...)}); err != nil {
			t.Fatal(err)
		}
	}
	one.Keep(question, answer(time.Minute))
	one.await(Kept, 1)
	use(two, 1, 2) // first it is known everywhere,
	two.recall(true)
	use(one, 2, 1) // then it is used
	one.recall(true)
	s.Change(func(entries map[string]string) { clear(entries) })
	one.Keep(question, answer(time.Minute))
	one.await(Kept, 2)
	two.recall(true)
	use(two, 1)
	two.recall(false)
	if err := two.Use(Settings{}); err == nil {
		t.Error("no key can be used")
	}
	two.recall(false)
}

// silent accepts and says nothing.
func silent(net.Conn, []string) bool { return true }

// says answers everything with one text.
func says(text string) sharedtest.Fault {
	return func(c net.Conn, _ []string) bool { _, _ = io.WriteString(c, text); return true }
}

// Whatever the cache does, a question waits a bounded time for it, and after a few failures none; one warning says so, and one line that it
// is back.
func TestT27_WhateverTheCacheDoes(t *testing.T) {
	drips := func(c net.Conn, _ []string) bool {
		for _, b := range []byte("$100000\r\n" + strings.Repeat("a", 100)) {
			if _, err := c.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		return true
	}
	closes := func(c net.Conn, _ []string) bool { _ = c.Close(); return true }
	for name, fault := range map[string]sharedtest.Fault{
		"silent":               silent,
		"drips":                drips,
		"closes":               closes,
		"closes in the middle": func(c net.Conn, _ []string) bool { _, _ = io.WriteString(c, "$10\r\nabc"); _ = c.Close(); return true },
		"complains":            says("-LOADING Redis is loading the dataset in memory\r\n"),
		"an array":             says("*1\r\n$1\r\na\r\n"),
		"a number":             says(":1\r\n"),
		"a map":                says("%1\r\n+a\r\n+b\r\n"),
		"no protocol":          says("HTTP/1.1 400 Bad Request\r\n\r\n"),
		"a length of nonsense": says("$abc\r\n"),
		"a negative length":    says("$-2\r\n"),
		"a length for ever":    says("$" + strings.Repeat("9", 4000)),
		"a line for ever":      says("+" + strings.Repeat("a", 100_000)),
		"no line end":          says("$1\r\nabc"),
		"more than was asked":  says("$-1\r\n$-1\r\n"),
		"an empty line":        says("\r\n"),
		"only a line feed":     says("$-1\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sharedtest.New(t, "", nil)
			var mu sync.Mutex
			now := time.Now()
			r := open(t, s.URL(), Settings{Keys: keysOf(t, 1)}, hurried, func(c *Config) {
				c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
			})
			pass := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
			r.Keep(question, answer(time.Hour))
			r.await(Kept, 1)
			s.SetFault(fault)
			for range maxFailures {
				r.recall(false)
			}
			began := time.Now()
			for range 1000 {
				r.recall(false)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("a thousand questions waited %v for a cache that is away", took)
			}
			if r.counted(Failed) != maxFailures || r.counted(Skipped) != 1000 {
				t.Errorf("counted %v", r.n)
			}
			for range 5 { // it is tried again, once in each pause
				pass(maxPause)
				r.recall(false)
				r.recall(false)
			}
			if r.counted(Failed) != maxFailures+5 {
				t.Errorf("counted %v", r.n)
			}
			if away, _ := r.Away(); !away {
				t.Error("it is not away")
			}
			if n := strings.Count(r.logged(), "WARN"); n != 1 {
				t.Errorf("%d warnings: %s", n, r.logged())
			}
			s.SetFault(nil)
			for range 20 { // a busy machine may need more than one try
				pass(maxPause)
				if _, found := r.Recall(t.Context(), question); found {
					break
				}
			}
			if away, _ := r.Away(); away || strings.Count(r.logged(), "is back") != 1 {
				t.Errorf("away %v: %s", away, r.logged())
			}
		})
	}
}

// A cache that announces gigabytes costs nothing of them, and no process its life.
func TestT27_HugeAnswers(t *testing.T) {
	s := sharedtest.New(t, "", nil)
	r := open(t, s.URL(), Settings{Keys: keysOf(t, 1)})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	lengths := []string{fmt.Sprint(MaxEntry + 1), "4294967295", "4294967296", "9000000000000000000", "99999999999999999999"}
	for _, n := range lengths {
		s.SetFault(says("$" + n + "\r\n" + strings.Repeat("a", 1000)))
		r.recall(false)
	}
	runtime.ReadMemStats(&after)
	if grew := after.TotalAlloc - before.TotalAlloc; grew > 4<<20 {
		t.Errorf("%d bytes were allocated", grew)
	}
	if r.counted(Refused)+r.counted(Failed) != len(lengths) || r.counted(Refused) < 2 {
		t.Errorf("counted %v", r.n)
	}
}

// A cache that is not there at the start holds nothing up, is said once, and is used when it comes; so is one that dies later.
func TestT27_Unreachable(t *testing.T) {
	s := sharedtest.New(t, "", nil)
	url := s.URL()
	s.Stop()
	var mu sync.Mutex
	now := time.Now()
	began := time.Now()
	r := open(t, url, Settings{Keys: keysOf(t, 1)}, func(c *Config) {
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	if took := time.Since(began); took > time.Second {
		t.Errorf("the start took %v", took)
	}
	for range 10 {
		r.recall(false)
		r.Keep(question, answer(time.Hour))
	}
	r.await(Dropped, 10-maxFailures)
	for range 2 {
		s.Start()
		mu.Lock()
		now = now.Add(time.Minute)
		mu.Unlock()
		kept := r.counted(Kept)
		r.Keep(question, answer(time.Hour))
		r.await(Kept, kept+1)
		r.recall(true)
		s.Stop()
		for range 10 {
			r.recall(false)
		}
	}
	if n := strings.Count(r.logged(), `"WARN"`); n < 3 || n > 5 { // of recalling: three outages; of keeping: one, or more
		t.Errorf("%d warnings: %s", n, r.logged())
	}
}

func TestT27_Passwords(t *testing.T) {
	s := sharedtest.New(t, "hunter2", nil)
	for name, c := range map[string]struct {
		settings Settings
		works    bool
	}{
		"right":           {Settings{Keys: keysOf(t, 1), Password: "hunter2"}, true},
		"right, and user": {Settings{Keys: keysOf(t, 1), User: "assay", Password: "hunter2"}, true},
		"wrong":           {Settings{Keys: keysOf(t, 1), Password: "hunter3"}, false},
		"none":            {Settings{Keys: keysOf(t, 1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, s.URL(), c.settings)
			for range maxFailures {
				r.Recall(t.Context(), question)
			}
			away, _ := r.Away()
			if away == c.works || strings.Contains(r.logged(), "hunter") {
				t.Errorf("away %v: %s", away, r.logged())
			}
		})
	}
	r := open(t, s.URL(), Settings{Keys: keysOf(t, 1), Password: "hunter2"})
	r.recall(false)
	if err := r.Use(Settings{Keys: keysOf(t, 1), User: "assay"}); err == nil {
		t.Error("a user without a password")
	}
	if err := r.Use(Settings{Keys: keysOf(t, 1), Password: "hunter3"}); err != nil { // connections of before do not go on
		t.Fatal(err)
	}
	failed := r.counted(Failed)
	r.recall(false)
	if r.counted(Failed) != failed+1 {
		t.Error("the password of before counts")
	}
}

// T27: servers that know no AUTH, or have it under another name, repeat in their complaint what they were told, which must not stand in a log.
func TestT27_PasswordsThatAreRepeated(t *testing.T) {
	for name, complaint := range map[string]string{
		"whole": "-ERR unknown command 'AUTH', with args beginning with: 'assay' 'hunter2, with \"signs\"' \r\n",
		"cut":   "-ERR unknown command `AUTH`, with args beginning with: `assay`, `hunter2, wi\r\n",
		"alone": "-hunter2\r\n",
	} {
		s := sharedtest.New(t, "", nil)
		s.SetFault(func(c net.Conn, command []string) bool {
			if command[0] != "AUTH" {
				return false
			}
			_, _ = io.WriteString(c, complaint)
			return true
		})
		r := open(t, s.URL(), Settings{Keys: keysOf(t, 1), User: "assay", Password: `hunter2, with "signs"`})
		for range maxFailures {
			r.Recall(t.Context(), question)
		}
		if away, _ := r.Away(); !away || strings.Contains(r.logged(), "hunter") {
			t.Errorf("%s: away %v: %s", name, away, r.logged())
		}
		if name == "whole" && !strings.Contains(r.logged(), "refuses the user and the password: ERR") {
			t.Errorf("nobody is told why: %s", r.logged())
		}
	}
}

// certificate makes a certificate for a host, by itself.
func certificate(t testing.TB, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestT27_TLS(t *testing.T) {
	right, wrong, named := certificate(t, "127.0.0.1"), certificate(t, "127.0.0.1"), certificate(t, "cache.example")
	trusting := func(c tls.Certificate) *tls.Config {
		pool := x509.NewCertPool()
		pool.AddCert(c.Leaf)
		return &tls.Config{RootCAs: pool}
	}
	for name, c := range map[string]struct {
		has    tls.Certificate
		trusts *tls.Config
		plain  bool
		works  bool
	}{
		"right":             {right, trusting(right), false, true},
		"another authority": {right, trusting(wrong), false, false},
		"the host's":        {right, nil, false, false},
		"another name":      {named, trusting(named), false, false},
		"without TLS":       {right, trusting(right), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := sharedtest.New(t, "", &tls.Config{Certificates: []tls.Certificate{c.has}})
			url := s.URL()
			if c.plain {
				url = strings.Replace(url, "rediss", "redis", 1)
			}
			r := open(t, url, Settings{Keys: keysOf(t, 1), TLS: c.trusts})
			r.Keep(question, answer(time.Minute))
			if !c.works {
				r.await(Unkept, 1)
				r.recall(false)
				if n := len(s.Entries()); n > 0 {
					t.Errorf("%d entries went there", n)
				}
				return
			}
			r.await(Kept, 1)
			r.recall(true)
		})
	}
}

// What is kept waits for nobody: where the cache does not take it, it is dropped, and counted.
func TestT27_KeepingNeverWaits(t *testing.T) {
	s := sharedtest.New(t, "", nil)
	s.SetFault(silent)
	r := open(t, s.URL(), Settings{Keys: keysOf(t, 1)})
	began := time.Now()
	for range 3 * MaxQueue {
		r.Keep(question, answer(time.Hour))
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if r.counted(Dropped) < MaxQueue {
		t.Errorf("%d were dropped", r.counted(Dropped))
	}
}

// A server that takes no entries is said once, and still asked for those of others.
func TestT27_ACacheThatOnlyReads(t *testing.T) {
	s := sharedtest.New(t, "", nil)
	s.SetFault(func(c net.Conn, command []string) bool {
		if command[0] == "SET" {
			_, _ = io.WriteString(c, "-READONLY You can't write against a read only replica.\x1b[31m\r\n")
		}
		return command[0] == "SET"
	})
	r := open(t, s.URL(), Settings{Keys: keysOf(t, 1)})
	for range 2 * maxFailures {
		r.Keep(question, answer(time.Hour))
		r.recall(false)
	}
	r.await(Dropped, maxFailures)
	recalling, keeping := r.Away()
	if recalling || !keeping || strings.Count(r.logged(), "WARN") != 1 || !strings.Contains(r.logged(), "read only replica") || strings.Contains(r.logged(), "u001b") {
		t.Errorf("away %v, %v: %s", recalling, keeping, r.logged())
	}
}

// Many questions at once share a few connections, and all are answered.
func TestManyQuestions(t *testing.T) {
	s := sharedtest.New(t, "", nil)
	r := open(t, s.URL(), Settings{Keys: keysOf(t, 1)})
	r.Keep(question, answer(time.Hour))
	r.await(Kept, 1)
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			for range 20 {
				r.Recall(context.Background(), question)
			}
		})
	}
	wait.Wait()
	if n := r.counted(Hit); n != 1000 {
		t.Errorf("%d of 1000 were found: %v, %s", n, r.n, r.logged())
	}
}

// Who has left says nothing of the cache.
func TestT27_WhoLeavesIsNoFailure(t *testing.T) {
	s := sharedtest.New(t, "", nil)
	r := open(t, s.URL(), Settings{Keys: keysOf(t, 1)}, hurried)
	r.recall(false)
	s.SetFault(silent)
	gone, leave := context.WithCancel(t.Context())
	leave()
	for range 2 * maxFailures {
		r.Recall(gone, question)
	}
	if away, _ := r.Away(); away {
		t.Error(r.logged())
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"redis://cache.example":            "tcp cache.example:6379  false false",
		"redis://cache.example:7000/2":     "tcp cache.example:7000 2 false false",
		"rediss://cache.example:7000":      "tcp cache.example:7000  true true",
		"valkeys://cache.example/":         "tcp cache.example:6379  true true",
		"valkey://127.0.0.1":               "tcp 127.0.0.1:6379  false true",
		"redis://[::1]:1":                  "tcp [::1]:1  false true",
		"unix:///run/valkey/valkey.sock":   "unix /run/valkey/valkey.sock  false true",
		"":                                 "",
		"cache.example:6379":               "",
		"http://cache.example":             "",
		"redis://":                         "",
		"redis://:6379":                    "",
		"redis://a:0":                      "",
		"redis://a:70000":                  "",
		"redis://a/x":                      "",
		"redis://a/1/2":                    "",
		"redis://a/-1":                     "",
		"redis://a?db=1":                   "",
		"redis://a#x":                      "",
		"redis://user:hunter2@a":           "",
		"redis://hunter2@a":                "",
		"redis://user:hunter2@a:x y":       "",
		"unix://run/valkey.sock":           "",
		"unix:run/valkey.sock":             "",
		"redis+sentinel://a/b":             "",
		"redis://a:6379/99999999999999999": "",
	} {
		a, err := ParseAddress(text)
		got := ""
		if err == nil {
			got = fmt.Sprintf("%s %s %s %v %v", a.network, a.address, a.database, a.TLS(), a.Private())
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the error shows the password", text)
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", text, got, err, want)
		}
	}
}

// Nothing goes on after Close, whatever the cache does at that moment.
func TestT27_NothingGoesOnAfterClose(t *testing.T) {
	before := runtime.NumGoroutine()
	for name, fault := range map[string]sharedtest.Fault{"answers": nil, "silent": silent, "complains": says("-ERR\r\n")} {
		func() {
			s := sharedtest.New(t, "p", nil)
			defer s.Stop()
			s.SetFault(fault)
			r := open(t, s.URL(), Settings{Keys: keysOf(t, 1), Password: "p"}, hurried)
			for range 10 {
				r.Keep(question, answer(time.Hour))
				r.Recall(t.Context(), question)
			}
			began := time.Now()
			r.Close()
			if took := time.Since(began); took > keepWait+time.Second {
				t.Errorf("%s: the end took %v", name, took)
			}
			if _, found := r.Recall(t.Context(), question); found {
				t.Error("it answers after its end")
			}
		}()
	}
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if n := runtime.NumGoroutine(); n > before {
		buf := make([]byte, 1<<16)
		t.Errorf("%d goroutines more\n%s", n-before, buf[:runtime.Stack(buf, true)])
	}
}
