package cluster_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/assay-dev/assay/enforce/kubernetes/cluster"
	"github.com/assay-dev/assay/enforce/kubernetes/cluster/clustertest"
)

func objects(t *testing.T, s *clustertest.Server) *cluster.Objects {
	t.Helper()
	o, err := open(t, s).Objects("assay", "floors")
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestObjectsCompareAndSwap(t *testing.T) {
	s := clustertest.New(t)
	o, other := objects(t, s), objects(t, s)
	if content, version, err := o.Get(t.Context(), "a"); content != nil || version != "" || err != nil {
		t.Fatalf("at first: %q, %q, %v", content, version, err)
	}
	first, swapped, err := o.Put(t.Context(), "a", "g", "https://notary.example/v2/a", []byte("1"), "")
	if err != nil || !swapped {
		t.Fatal(swapped, err)
	}
	if _, swapped, err := other.Put(t.Context(), "a", "g", "", []byte("x"), ""); swapped || err != nil {
		t.Errorf("made twice: %v, %v", swapped, err)
	}
	if _, swapped, err := other.Put(t.Context(), "b", "g", "", []byte("x"), "7"); swapped || err != nil {
		t.Errorf("replaced what is not there: %v, %v", swapped, err)
	}
	second, swapped, err := other.Put(t.Context(), "a", "g", "", []byte("2"), first)
	if err != nil || !swapped || second == first {
		t.Fatal(swapped, err)
	}
	if _, swapped, err := o.Put(t.Context(), "a", "g", "", []byte("x"), first); swapped || err != nil {
		t.Errorf("replaced by an old version: %v, %v", swapped, err)
	}
	if content, version, err := o.Get(t.Context(), "a"); string(content) != "2" || version != second || err != nil {
		t.Errorf("got %q, %q, %v", content, version, err)
	}
	if _, _, err := o.Put(t.Context(), "b", "other", "", []byte("3"), ""); err != nil {
		t.Fatal(err)
	}
	if all, err := o.Group(t.Context(), "g"); err != nil || len(all) != 1 || string(all[0]) != "2" {
		t.Errorf("group: %q, %v", all, err)
	}
	if n := s.Count(http.MethodGet, "watch="); n > 0 {
		t.Errorf("%d watches", n)
	}
}

func TestObjectsThatCannotBeTold(t *testing.T) {
	s := clustertest.New(t)
	o := objects(t, s)
	s.Put(configMaps, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"foreign","namespace":"assay"},"data":{"content":"x"}}`)
	s.Put(configMaps, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"empty","namespace":"assay","labels":{"assay.dev/kind":"floors"}}}`)
	for _, name := range []string{"foreign", "empty"} {
		if _, _, err := o.Get(t.Context(), name); err == nil || !strings.Contains(err.Error(), "is not one of Assay's") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := o.Put(t.Context(), "large", "g", "", make([]byte, cluster.MaxObjectContent+1), ""); err == nil {
		t.Error("no error for what is too large")
	}
	for _, code := range []int{403, 500, 503} {
		s.Fault(func(*http.Request) int { return code })
		_, _, got := o.Get(t.Context(), "a")
		_, group := o.Group(t.Context(), "g")
		_, swapped, put := o.Put(t.Context(), "a", "g", "", []byte("1"), "")
		if got == nil || group == nil || put == nil || swapped {
			t.Errorf("%d: %v, %v, %v", code, got, group, put)
		}
	}
}

func TestObjectsOfManyWriters(t *testing.T) {
	s := clustertest.New(t)
	var wait sync.WaitGroup
	won := make([]bool, 16)
	o := objects(t, s)
	for i := range won {
		wait.Go(func() {
			_, swapped, err := o.Put(t.Context(), "a", "g", "", []byte{byte('a' + i)}, "")
			if err != nil {
				t.Error(err)
			}
			won[i] = swapped
		})
	}
	wait.Wait()
	winners := 0
	for _, w := range won {
		if w {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d made the object, want 1", winners)
	}
}
