//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The Go code beside the .proto files is what make proto makes of them: nobody changed it by hand, or forgot it.
func TestGeneratedProtocol(t *testing.T) {
	if _, err := exec.LookPath("protoc"); err != nil {
		if peersOptional() {
			t.Skip(err)
		}
		t.Fatalf("%v; e2e/peers/install installs it", err)
	}
	folder := t.TempDir()
	if out, err := exec.Command("../enforce/spire/proto/generate", folder).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	checkedIn, err := filepath.Glob("../enforce/spire/proto/*/*.pb.go")
	if err != nil {
		t.Fatal(err)
	}
	made, err := filepath.Glob(filepath.Join(folder, "*/*.pb.go"))
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != len(checkedIn) || len(made) < 9 {
		t.Fatalf("%d files are made, and %d are here", len(made), len(checkedIn))
	}
	for _, file := range checkedIn {
		name, err := filepath.Rel("../enforce/spire/proto", file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(content(t, filepath.Join(folder, name)), content(t, file)); diff != "" {
			t.Errorf("%s is not what make proto makes (-made +here):\n%s", name, diff)
		}
	}
}

func content(t *testing.T, file string) string {
	t.Helper()
	read, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(read)
}
