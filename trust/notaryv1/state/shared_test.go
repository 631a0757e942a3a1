package state

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/assay-dev/assay/trust/notaryv1"
)

// board is Objects in memory.
type board struct {
	mu       sync.Mutex
	n        int
	contents map[string]string
	versions map[string]string
	groups   map[string]string
	reads    int
	writes   int
	lists    int
	fails    bool
}

func newBoard() *board {
	return &board{contents: map[string]string{}, versions: map[string]string{}, groups: map[string]string{}}
}

var errDown = errors.New("the API server is down")

func (b *board) Get(_ context.Context, name string) ([]byte, string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reads++
	if b.fails {
		return nil, "", errDown
	}
	return []byte(b.contents[name]), b.versions[name], nil
}

func (b *board) Group(_ context.Context, group string) ([][]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lists++
	if b.fails {
		return nil, errDown
	}
	var all [][]byte
	for name, content := range b.contents {
		if b.groups[name] == group {
			all = append(all, []byte(content))
		}
	}
	return all, nil
}

func (b *board) Put(_ context.Context, name, group, _ string, content []byte, version string) (string, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fails {
		return "", false, errDown
	}
	if b.versions[name] != version {
		return "", false, nil
	}
	b.n++
	b.writes++
	b.contents[name], b.versions[name], b.groups[name] = string(content), fmt.Sprint(b.n), group
	return b.versions[name], true, nil
}

// replica is one process; its clock is the test's.
func replica(b *board, clock *time.Time) *Shared {
	s := Share(new(notaryv1.Memory), b)
	s.now = func() time.Time { return *clock }
	return s
}

// raise is a change that raises a floor, and refuses to lower it, as notaryv1 does.
func raise(version int) func(notaryv1.State) (notaryv1.State, error) {
	return func(s notaryv1.State) (notaryv1.State, error) {
		if f := s.Floors["timestamp"]; len(f) > 0 && f[0].Version > version {
			return s, errors.New("a rollback")
		}
		content := fmt.Appendf(nil, "timestamp %d", version)
		return notaryv1.State{
			Floors: map[string]notaryv1.Floors{"timestamp": {{Version: version, Signers: "s"}}},
			Roots:  [][]byte{[]byte("root 1")}, Files: map[string][]byte{"timestamp": content}, Seen: time.Unix(1, 0),
		}, nil
	}
}

func floorOf(t *testing.T, s notaryv1.Store) int {
	t.Helper()
	state, err := s.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Floors["timestamp"]) == 0 {
		return 0
	}
	return state.Floors["timestamp"][0].Version
}

func TestCSE28_FloorsAreShared(t *testing.T) {
	b, clock := newBoard(), time.Unix(1000, 0)
	one, two := replica(b, &clock), replica(b, &clock)
	if floorOf(t, one) != 0 || floorOf(t, two) != 0 {
		t.Fatal("something was seen at first")
	}
	if err := one.Update(t.Context(), key, raise(5)); err != nil {
		t.Fatal(err)
	}
	if got := floorOf(t, one); got != 5 {
		t.Errorf("got %d, want 5", got)
	}
	if got := floorOf(t, two); got != 0 {
		t.Errorf("got %d within the second", got) // the bound that the documentation names
	}
	clock = clock.Add(sharedFresh)
	if got := floorOf(t, two); got != 5 {
		t.Errorf("got %d, want 5", got)
	}
	state, err := two.Load(t.Context(), key)
	if err != nil || len(state.Files) != 0 || state.Key != key || state.Root() == "" {
		t.Errorf("the other replica has %+v, %v", state, err)
	}
	if fresh := replica(b, &clock); floorOf(t, fresh) != 5 { // a restart
		t.Error("a new process does not know the floor")
	}
}

// T28: whoever writes with an old idea of what is there is told, and decides anew about what is there by then.
func TestT28_AReplicaThatLagsDoesNotLowerAFloor(t *testing.T) {
	b, clock := newBoard(), time.Unix(1000, 0)
	one, two := replica(b, &clock), replica(b, &clock)
	floorOf(t, two)
	if err := one.Update(t.Context(), key, raise(6)); err != nil {
		t.Fatal(err)
	}
	if err := two.Update(t.Context(), key, raise(5)); err == nil || !strings.Contains(err.Error(), "a rollback") {
		t.Errorf("got %v", err)
	}
	clock = clock.Add(time.Hour)
	if floorOf(t, one) != 6 || floorOf(t, two) != 6 {
		t.Errorf("the floors are %d and %d", floorOf(t, one), floorOf(t, two))
	}
}

// Somebody who takes away or lowers what is shared does not lower what a process has seen itself, and it is shared again.
func TestT28_WhatIsSharedIsLowered(t *testing.T) {
	for name, tamper := range map[string]func(b *board, object string){
		"taken away": func(b *board, object string) { delete(b.contents, object); delete(b.versions, object) },
		"lowered": func(b *board, object string) {
			b.contents[object] = strings.Replace(b.contents[object], `"version":6`, `"version":2`, 1)
			b.versions[object] = "x"
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, clock := newBoard(), time.Unix(1000, 0)
			one := replica(b, &clock)
			if err := one.Update(t.Context(), key, raise(6)); err != nil {
				t.Fatal(err)
			}
			before := b.contents[objectName(key)]
			tamper(b, objectName(key))
			if b.contents[objectName(key)] == before {
				t.Fatal("nothing was changed")
			}
			clock = clock.Add(time.Minute)
			if got := floorOf(t, one); got != 6 {
				t.Errorf("got %d, want 6", got)
			}
			if got := floorOf(t, replica(b, &clock)); got != 6 {
				t.Errorf("another replica has %d, want 6", got)
			}
		})
	}
}

func TestSharedIsReadOncePerSecondAndWrittenWhenItChanges(t *testing.T) {
	b, clock := newBoard(), time.Unix(1000, 0)
	one := replica(b, &clock)
	if err := one.Update(t.Context(), key, raise(5)); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(time.Minute)
	b.reads = 0
	var wait sync.WaitGroup
	for range 100 {
		wait.Go(func() {
			if _, err := one.Load(t.Context(), key); err != nil {
				t.Error(err)
			}
			if err := one.Update(t.Context(), key, raise(5)); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if b.reads != 1 || b.writes != 1 {
		t.Errorf("%d reads and %d writes, want one of each", b.reads, b.writes)
	}
}

func TestManyReplicasWriteAtOnce(t *testing.T) {
	b, clock := newBoard(), time.Unix(1000, 0)
	var wait sync.WaitGroup
	for i := range 8 {
		r := replica(b, &clock)
		wait.Go(func() {
			err := r.Update(t.Context(), key, func(s notaryv1.State) (notaryv1.State, error) {
				floors := map[string]notaryv1.Floors{fmt.Sprint("role-", i): {{Version: i, Signers: "s"}}}
				for role, f := range s.Floors {
					floors[role] = f
				}
				return notaryv1.State{Floors: floors, Roots: [][]byte{[]byte("root 1")}}, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	state, err := replica(b, &clock).Load(t.Context(), key)
	if err != nil || len(state.Floors) != 8 {
		t.Errorf("%d of 8 floors were kept: %v", len(state.Floors), err)
	}
}

// Where the API server does not answer, nobody can tell; nothing passes for "nothing was seen".
func TestSharedThatCannotBeTold(t *testing.T) {
	b, clock := newBoard(), time.Unix(1000, 0)
	one := replica(b, &clock)
	if err := one.Update(t.Context(), key, raise(5)); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(time.Minute)
	b.fails = true
	_, load := one.Load(t.Context(), key)
	_, others := one.Others(t.Context(), key)
	update := one.Update(t.Context(), key, raise(7))
	if !errors.Is(load, errDown) || !errors.Is(others, errDown) || !errors.Is(update, errDown) {
		t.Errorf("got %v, %v, %v", load, others, update)
	}
	b.fails = false
	if got := floorOf(t, one); got != 5 {
		t.Errorf("got %d: what could not be kept counts", got)
	}
	clock = clock.Add(time.Minute)
	object := objectName(key)
	good := b.contents[object]
	for name, content := range map[string]string{
		"no JSON": "{", "another repository": strings.Replace(good, "registry.example/app", "registry.example/evil", 1),
		"too large": good + strings.Repeat(" ", MaxShared), "another root": strings.Replace(good, "cm9vdCAx", "cm9vdCAy", 1),
	} {
		if content == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		b.contents[object] = content
		clock = clock.Add(time.Minute)
		if _, err := one.Load(t.Context(), key); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	big := func(notaryv1.State) (notaryv1.State, error) {
		return notaryv1.State{Roots: [][]byte{make([]byte, MaxShared)}}, nil
	}
	if err := replica(newBoard(), &clock).Update(t.Context(), key, big); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too large: %v", err)
	}
}

// What a process has on disk from before is shared, files of a state that another replica has left behind are not.
func TestSharedAndOwn(t *testing.T) {
	b, clock := newBoard(), time.Unix(1000, 0)
	own := new(notaryv1.Memory)
	if err := own.Update(t.Context(), key, raise(5)); err != nil {
		t.Fatal(err)
	}
	one := Share(own, b)
	one.now = func() time.Time { return clock }
	if got := floorOf(t, one); got != 5 {
		t.Fatalf("got %d, want 5", got)
	}
	two := replica(b, &clock)
	if got := floorOf(t, two); got != 5 {
		t.Errorf("another replica has %d, want 5", got)
	}
	if state, _ := one.Load(t.Context(), key); len(state.Files) != 1 {
		t.Errorf("its own files are gone: %v", state.Files)
	}
	if err := two.Update(t.Context(), key, raise(6)); err != nil {
		t.Fatal(err)
	}
	clock = clock.Add(time.Minute)
	if state, _ := one.Load(t.Context(), key); len(state.Files) != 0 || state.Floors["timestamp"][0].Version != 6 {
		t.Errorf("files that others left behind stay: %v", state)
	}
	sibling := notaryv1.Key{Server: key.Server, GUN: key.GUN, Anchor: "b"}
	others, err := two.Others(t.Context(), sibling)
	if err != nil || len(others) == 0 || others[0].Key != key {
		t.Errorf("others: %v, %v", others, err)
	}
}

func TestT29_NamesOfObjectsAreHashes(t *testing.T) {
	name := objectName(notaryv1.Key{Server: "https://x", GUN: "../../Etc/passwd", Anchor: "\x00"})
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || len(name) > 253 {
		t.Errorf("got %q", name)
	}
}

func TestJoin(t *testing.T) {
	floors := func(pairs ...any) notaryv1.Floors {
		var f notaryv1.Floors
		for i := 0; i < len(pairs); i += 2 {
			f = append(f, notaryv1.Floor{Signers: pairs[i].(string), Version: pairs[i+1].(int)})
		}
		return f
	}
	a := notaryv1.State{Roots: [][]byte{[]byte("1"), []byte("2")}, Floors: map[string]notaryv1.Floors{"t": floors("x", 5, "y", 2), "u": floors("z", 1)}}
	b := notaryv1.State{Roots: [][]byte{[]byte("2"), []byte("3")}, Floors: map[string]notaryv1.Floors{"t": floors("y", 3, "x", 4)}}
	want := map[string]notaryv1.Floors{"t": floors("y", 3, "x", 5), "u": floors("z", 1)}
	for _, pair := range [][2]notaryv1.State{{a, b}} {
		got, err := pair[0].Join(pair[1])
		if err != nil || string(got.Roots[len(got.Roots)-1]) != "3" {
			t.Fatalf("%q, %v", got.Roots, err)
		}
		if diff := cmp.Diff(want, got.Floors); diff != "" {
			t.Error(diff)
		}
	}
	if got, err := b.Join(a); err != nil || string(got.Roots[len(got.Roots)-1]) != "3" || got.Floors["t"][0].Version != 5 {
		t.Errorf("the other way round: %v, %v", got, err)
	}
	fork := notaryv1.State{Roots: [][]byte{[]byte("1"), []byte("fork")}, Floors: a.Floors}
	if _, err := a.Join(fork); err == nil {
		t.Error("two roots of which neither follows the other are joined")
	}
}
