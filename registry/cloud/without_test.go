//go:build !cloudkeychains

package cloud

import (
	"strings"
	"testing"
)

func TestKeychainsAreABuildChoice(t *testing.T) {
	if all, err := Open(); len(all) != 0 || err != nil {
		t.Errorf("none: %v, %v", all, err)
	}
	if _, err := Open("ecr"); err == nil || !strings.Contains(err.Error(), "make build TAGS=cloudkeychains") {
		t.Errorf("got %v", err)
	}
}
