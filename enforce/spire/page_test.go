package spire

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The pages of both attestors have all keys, and no others.
func TestPagesOfKeys(t *testing.T) {
	for _, table := range []struct {
		page, name string
		block      any
		beside     []string // keys of the block that stand in another table
	}{
		{"spire-docker.md", "keys", dockerBlock{}, nil},
		{"spire-docker.md", "sigstore", sigstoreBlock{}, nil},
		{"spire-k8s.md", "keys", kubernetesBlock{}, nil},
		{"spire-k8s.md", "experimental", kubernetesExperimental{}, nil},
		{"spire-k8s.md", "old", anySigstoreBlock{}, slices.DeleteFunc(keysOf(sigstoreBlock{}), func(key string) bool { return key == "rekor_url" })},
	} {
		page, err := os.ReadFile("../../docs/reference/" + table.page)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(string(page), "<!-- begin "+table.name+" -->")
		rows, _, ended := strings.Cut(rest, "<!-- end "+table.name+" -->")
		if !found || !ended {
			t.Fatalf("%s: no table of %s", table.page, table.name)
		}
		var got []string
		for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_0-9]+)` \\|").FindAllStringSubmatch(rows, -1) {
			got = append(got, row[1])
		}
		want := slices.DeleteFunc(keysOf(table.block), func(key string) bool { return slices.Contains(table.beside, key) })
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s, %s: the page has %q, the program %q", table.page, table.name, got, want)
		}
	}
}

func keysOf(block any) []string {
	var keys []string
	for i := range reflect.TypeOf(block).NumField() {
		keys = append(keys, keyName(reflect.TypeOf(block).Field(i)))
	}
	return keys
}
