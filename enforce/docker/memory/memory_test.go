package memory_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce/docker"
	"github.com/assay-dev/assay/enforce/docker/memory"
	"github.com/assay-dev/assay/image"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// place is a folder with a memory in it, and a clock that a test moves.
type place struct {
	*testing.T
	folder string
	now    time.Time
	log    bytes.Buffer
	*memory.Memory
}

func newPlace(t *testing.T) *place {
	p := &place{T: t, folder: filepath.Join(t.TempDir(), "docker"), now: start}
	p.restart()
	return p
}

// restart is another process over the same folder.
func (p *place) restart() {
	p.log.Reset()
	p.Memory = memory.Open(p.folder, memory.Options{Now: func() time.Time { return p.now }, Log: slog.New(slog.NewTextHandler(&p.log, nil))})
}

func (p *place) file() string { return filepath.Join(p.folder, "decided.json") }

func (p *place) keep(d docker.Decided) {
	p.Helper()
	if err := p.Keep(context.Background(), d); err != nil {
		p.Fatal(err)
	}
}

func (p *place) want(what string, d docker.Decided, want bool) {
	p.Helper()
	if got := p.Known(context.Background(), d, p.now); got != want {
		p.Errorf("%s: known %v, want %v", what, got, want)
	}
}

func (p *place) at(d time.Duration) { p.now = start.Add(d) }

func decided(i int) docker.Decided {
	return docker.Decided{
		Name: fmt.Sprintf("registry.example/app:%d", i), Content: image.SHA256(fmt.Append(nil, i)), Basis: "basis", Ends: start.Add(time.Hour),
		Policy: "production", Rule: "rules[0] (line 7)", Signers: []string{"CN=CI"},
	}
}

func TestT27_WhatIsKnown(t *testing.T) {
	p := newPlace(t)
	d := decided(1)
	p.want("nothing yet", d, false)
	p.keep(d)
	for _, process := range []string{"the same", "another"} {
		p.want(process, d, true)
		other := d
		other.Ends, other.Policy, other.Signers = time.Time{}, "", nil
		p.want(process+", whatever is for people or comes with the question", other, true)
		other = d
		other.Basis = "another"
		p.want(process+", another basis", other, false)
		other.Basis = ""
		p.want(process+", no basis", other, false)
		other = d
		other.Content = image.SHA256([]byte("other"))
		p.want(process+", another content", other, false)
		other = d
		other.Name = "registry.example/app:2"
		p.want(process+", another name", other, false)
		p.restart()
	}
	if p.log.Len() > 0 {
		t.Errorf("got %s", p.log.String())
	}
	for name, bad := range map[string]docker.Decided{
		"no basis": {Name: d.Name, Content: d.Content}, "no name": {Content: d.Content, Basis: "b"}, "no content": {Name: d.Name, Basis: "b"},
	} {
		if err := p.Keep(context.Background(), bad); err == nil {
			t.Errorf("%s: is kept", name)
		}
	}
}

func TestT27_EndsWithTheProofsOrWithItsAge(t *testing.T) {
	p := newPlace(t)
	short, long := decided(1), decided(2)
	long.Ends = time.Time{}
	p.keep(short)
	p.keep(long)
	p.at(time.Hour - time.Second)
	p.want("just before", short, true)
	p.at(time.Hour)
	p.want("at its end", short, false)
	p.want("no end", long, true)
	p.at(memory.DefaultMaxAge - time.Second)
	p.want("old", long, true)
	p.at(memory.DefaultMaxAge)
	p.want("too old", long, false)
}

// To be decided again makes it younger.
func TestT27_DecidedAgain(t *testing.T) {
	p := newPlace(t)
	d := decided(1)
	d.Ends = time.Time{}
	p.keep(d)
	p.at(memory.DefaultMaxAge / 2)
	p.keep(d)
	p.at(memory.DefaultMaxAge + time.Hour)
	p.want("once more", d, true)
	p.restart()
	p.want("after a restart", d, true)
	before, err := os.Stat(p.file())
	if err != nil {
		t.Fatal(err)
	}
	p.at(memory.DefaultMaxAge + time.Hour)
	p.keep(d) // half a week old by now: is written
	p.now = p.now.Add(time.Minute)
	p.keep(d) // a moment ago: is not
	after, err := os.Stat(p.file())
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(before, after) {
		t.Error("what has become old is not written anew")
	}
	content, err := os.ReadFile(p.file())
	if err != nil {
		t.Fatal(err)
	}
	if want := start.Add(memory.DefaultMaxAge + time.Hour).Format(time.RFC3339); !strings.Contains(string(content), `"decided":"`+want) {
		t.Errorf("what was kept a minute ago is written again: %s", content)
	}
}

func TestT19_AClockThatIsSetBack(t *testing.T) {
	p := newPlace(t)
	d := decided(1)
	p.keep(d)
	p.at(-time.Second)
	p.want("a little", d, true) // no two clocks are quite alike
	endless := decided(3)
	endless.Ends = time.Time{}
	p.at(0)
	p.keep(endless)
	p.at(2 * time.Hour)
	p.want("later", endless, true)
	p.at(time.Hour)
	p.want("after it was decided, and before what was seen", endless, false)
	p = newPlace(t)
	p.keep(d)
	p.at(-time.Hour)
	p.want("before it was decided", d, false)
	p.restart()
	p.want("after a restart too", d, false)
	p.at(2 * time.Hour)
	p.want("it has ended", d, false)
	p.at(30 * time.Minute)
	p.want("and does not come back", d, false)
	other := decided(2)
	other.Ends = time.Time{}
	p.at(2 * time.Hour)
	p.keep(other)
	p.at(30 * time.Minute)
	p.restart()
	p.want("nor after a restart, where something was kept meanwhile", d, false)
	p.want("what was decided later", other, false)
}

// A clock that goes back by little, again and again, does not bring back what has ended.
func TestT19_AClockThatCreepsBack(t *testing.T) {
	p := newPlace(t)
	d := decided(1) // for an hour
	p.keep(d)
	for after := time.Hour; after > 50*time.Minute; after -= 30 * time.Second {
		p.at(after)
		p.want("after "+after.String(), d, false)
	}
}

// Whoever asked may have left: what is denied is forgotten, and nothing else.
func TestT21_ForgetThoughNobodyWaits(t *testing.T) {
	p := newPlace(t)
	p.keep(decided(1))
	p.keep(decided(2))
	left, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Forget(left, decided(1)); err != nil {
		t.Error(err)
	}
	p.restart()
	p.want("what is denied", decided(1), false)
	p.want("the other", decided(2), true)
}

// A file with more entries than are kept is not Assay's.
func TestT47_AFileOfTooMany(t *testing.T) {
	p := newPlace(t)
	p.keep(decided(0))
	entry := func(i int) string {
		return fmt.Sprintf(`{"name":"registry.example/app:%d","content":"%s","basis":"basis","decided":"2026-11-01T12:00:00Z"}`, i, decided(i).Content)
	}
	for count, want := range map[int]bool{memory.MaxEntries: true, memory.MaxEntries + 1: false} {
		entries := make([]string, count)
		for i := range entries {
			entries[i] = entry(i)
		}
		content := `{"version":1,"seen":"2026-11-01T12:00:00Z","entries":[` + strings.Join(entries, ",") + `]}`
		if err := os.WriteFile(p.file(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		p.restart()
		p.want(fmt.Sprint(count), decided(count-1), want)
	}
}

// A file whose entries are of a time that it had not seen yet was not written by Assay so; they do not count before their time.
func TestT19_DecidedInTheFuture(t *testing.T) {
	p := newPlace(t)
	d := decided(1)
	p.at(30 * time.Minute)
	p.keep(d)
	content, err := os.ReadFile(p.file())
	if err != nil {
		t.Fatal(err)
	}
	stamp := func(at time.Time) string { return `"seen":"` + at.Format(time.RFC3339) + `"` }
	edited := strings.Replace(string(content), stamp(p.now), stamp(start), 1)
	if edited == string(content) {
		t.Fatalf("got %s", content)
	}
	if err := os.WriteFile(p.file(), []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	p.at(0)
	p.restart()
	p.want("before it was decided", d, false)
	p.at(30 * time.Minute)
	p.want("when it was", d, true)
}

func TestT21_Forget(t *testing.T) {
	p := newPlace(t)
	d, other := decided(1), decided(2)
	p.keep(d)
	p.keep(other)
	asked := d
	asked.Basis = "another"
	if err := p.Forget(context.Background(), asked); err != nil {
		t.Fatal(err)
	}
	if err := p.Forget(context.Background(), decided(3)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p.want("forgotten", d, false)
		p.want("the other", other, true)
		p.restart()
	}
}

// Broken or forged files are nothing that is remembered; what is kept next makes a new one.
func TestT27_AFileThatCannotBeUsedIsNothing(t *testing.T) {
	p := newPlace(t)
	d := decided(1)
	p.keep(d)
	good, err := os.ReadFile(p.file())
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	for name, content := range map[string]string{
		"empty":               "",
		"cut":                 text[:len(text)/2],
		"zeros":               strings.Repeat("\x00", len(text)),
		"not JSON":            "decided",
		"null":                "null",
		"something behind it": text + "{}",
		"another version":     strings.Replace(text, `"version":1`, `"version":2`, 1),
		"an unknown field":    strings.Replace(text, `"basis"`, `"trust":true,"basis"`, 1),
		"no basis":            strings.Replace(text, `"basis":"basis"`, `"basis":""`, 1),
		"no time":             strings.Replace(text, `"decided":"2026-11-01T12:00:00Z"`, `"decided":"0001-01-01T00:00:00Z"`, 1),
		"not when":            strings.Replace(text, `"seen":"2026-11-01T12:00:00Z",`, ``, 1),
		"no content":          strings.Replace(text, d.Content.String(), "", 1),
		"a false digest":      strings.Replace(text, d.Content.String(), d.Content.String()+"0", 1),
		"a short name":        strings.Replace(text, d.Name, "app", 1),
		"twice":               strings.Replace(text, `"entries":[`, `"entries":[`+text[strings.Index(text, `{"name"`):strings.LastIndex(text, `]}`)]+",", 1),
		"too large":           text[:len(text)-1] + strings.Repeat(" ", memory.MaxFile) + "}",
	} {
		t.Run(name, func(t *testing.T) {
			if content == text {
				t.Fatal("the file is not changed")
			}
			if err := os.WriteFile(p.file(), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			p.T = t
			p.restart()
			p.want("broken", d, false)
			if !strings.Contains(p.log.String(), "not remembered") {
				t.Errorf("nobody is told: %q", p.log.String())
			}
			p.keep(d)
			p.restart()
			p.want("kept anew", d, true)
			if p.log.Len() > 0 {
				t.Errorf("got %s", p.log.String())
			}
		})
	}
}

// Who else may write there could make anything start.
func TestT27_AFileThatOthersMayWriteIsNothing(t *testing.T) {
	p := newPlace(t)
	d := decided(1)
	p.keep(d)
	for path, want := range map[string]os.FileMode{p.folder: 0o700, p.file(): 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: got mode %04o, want %04o", path, got, want)
		}
		for _, mode := range []os.FileMode{want | 0o020, want | 0o002} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			p.restart()
			p.want("others may write", d, false)
		}
		if err := os.Chmod(path, want); err != nil {
			t.Fatal(err)
		}
	}
	p.restart()
	p.want("as before", d, true)
	elsewhere := filepath.Join(t.TempDir(), "decided.json")
	if err := os.Rename(p.file(), elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, p.file()); err != nil {
		t.Fatal(err)
	}
	p.restart()
	p.want("a link", d, false)
	if log := p.log.String(); !strings.Contains(log, "is no file") { // where links have the mode of what they lead to, nothing else stops it
		t.Errorf("a link: got %q", log)
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Remove(p.file()); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(elsewhere, p.file()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(p.file(), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	p.restart()
	p.want("of another user", d, false)
}

func TestT47_MemoryIsBounded(t *testing.T) {
	p := newPlace(t)
	var b strings.Builder
	fmt.Fprintf(&b, `{"version":1,"seen":%q,"entries":[`, start.Format(time.RFC3339))
	for i := range memory.MaxEntries {
		d := decided(i)
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, `{"name":%q,"content":%q,"basis":"basis","decided":%q}`, d.Name, d.Content, start.Add(time.Duration(i)*time.Millisecond).Format(time.RFC3339Nano))
	}
	b.WriteString("]}")
	if err := os.MkdirAll(p.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.file(), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	p.restart()
	p.at(time.Minute)
	p.want("the oldest", decided(0), true)
	long := decided(memory.MaxEntries)
	long.Policy, long.Rule, long.Signers = strings.Repeat("p", 1<<20), strings.Repeat("\xff", 1<<20), slicesOf(100, strings.Repeat("s", 1<<20))
	p.keep(long)
	p.want("the oldest, now", decided(0), false)
	p.want("the next", decided(1), true)
	p.want("the newest", long, true)
	p.restart()
	p.want("the newest, after a restart", long, true)
	info, err := os.Stat(p.file())
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 2<<20 {
		t.Errorf("the file has %d bytes", info.Size())
	}
}

func slicesOf(n int, s string) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = s
	}
	return list
}

// Several processes over one folder lose nothing of each other's.
func TestConcurrentProcesses(t *testing.T) {
	p := newPlace(t)
	const processes, each = 4, 5
	var wait sync.WaitGroup
	for i := range processes {
		m := memory.Open(p.folder, memory.Options{Now: func() time.Time { return start }})
		wait.Go(func() {
			for j := range each {
				if err := m.Keep(context.Background(), decided(i*each+j)); err != nil {
					t.Error(err)
				}
				m.Known(context.Background(), decided(j), start)
			}
		})
	}
	wait.Wait()
	p.restart()
	for i := range processes * each {
		p.want(fmt.Sprint(i), decided(i), true)
	}
}

// Whoever holds the lock for long costs what would be kept, not the answer.
func TestLockThatIsHeld(t *testing.T) {
	p := newPlace(t)
	p.keep(decided(1))
	l := flock.New(p.file() + ".lock")
	if err := l.Lock(); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Keep(ctx, decided(2)); err == nil {
		t.Error("something was kept under somebody else's lock")
	}
	if err := p.Forget(ctx, decided(1)); err == nil {
		t.Error("nobody is told that it could not be forgotten")
	}
	p.want("forgotten", decided(1), false)
	p.restart()
	p.want("after a restart too", decided(1), false)
}

// A folder that cannot be written is told, and nothing more.
func TestNoFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m := memory.Open(filepath.Join(file, "docker"), memory.Options{})
	if err := m.Keep(context.Background(), decided(1)); err == nil {
		t.Error("no error")
	}
	if m.Known(context.Background(), decided(1), start) {
		t.Error("known without a file")
	}
}
