package spire

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The page of the docker attestor has all keys, and no others.
func TestPageOfKeys(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/spire-docker.md")
	if err != nil {
		t.Fatal(err)
	}
	for table, block := range map[string]any{"keys": dockerBlock{}, "sigstore": sigstoreBlock{}} {
		_, rest, found := strings.Cut(string(page), "<!-- begin "+table+" -->")
		rows, _, ended := strings.Cut(rest, "<!-- end "+table+" -->")
		if !found || !ended {
			t.Fatalf("no table of %s", table)
		}
		var got, want []string
		for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(rows, -1) {
			got = append(got, row[1])
		}
		for i := range reflect.TypeOf(block).NumField() {
			want = append(want, keyName(reflect.TypeOf(block).Field(i)))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the page has %q, the program %q", table, got, want)
		}
	}
}
