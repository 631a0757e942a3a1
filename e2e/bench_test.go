//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// benchRuns is how often each program is run for a median.
const benchRuns = 21

// race is one question for both programs.
type race struct {
	name   string
	sign   string
	cosign string
	assay  string
}

func races() []race {
	const identity = "--trusted-root trusted_root.json " + isDev
	return []race{
		{"key, bundle", signBundlePlain + withKey, "cosign verify --key p256.pub --insecure-ignore-tlog --trusted-root trusted_root.json ",
			"assay verify --key p256.pub --insecure-ignore-tlog "},
		{"key, bundle with log", signBundle + withKey,
			"cosign verify --key p256.pub --trusted-root trusted_root.json ",
			"assay verify --key p256.pub --trusted-root trusted_root.json "},
		{"key, signature", signLegacy + noLog + withKey, "cosign2 verify --key p256.pub --insecure-ignore-tlog --trusted-root trusted_root.json ",
			"assay verify --key p256.pub --insecure-ignore-tlog "},
		{"keyless, bundle", signBundle + asDev, "cosign verify " + identity, "assay verify " + identity},
		{"keyless, signature", signLegacy + toFulcio + asDev, "cosign2 verify " + strings.ReplaceAll(identity, "root.json", "root_rekor1.json"),
			"assay verify " + strings.ReplaceAll(identity, "root.json", "root_rekor1.json")},
	}
}

// TestBenchPeers times assay verify against cosign verify: whole processes, with nothing kept from the run before, on the same image in the
// same registry. make bench-peers runs it. cosign is given a trusted root also where it needs none: else it looks for one in the network.
func TestBenchPeers(t *testing.T) {
	if os.Getenv("ASSAY_BENCH") != "1" {
		t.Skip("make bench-peers runs it")
	}
	l, err := newLab(t)
	if err != nil {
		t.Fatal(err)
	}
	bin, err := filepath.Abs("../bin")
	if err != nil {
		t.Fatal(err)
	}
	l.path = bin + ":" + l.path
	for i, r := range races() {
		image := fmt.Sprintf("bench/%d", i)
		digest, err := l.pushImage(image)
		if err != nil {
			t.Fatal(err)
		}
		ref := strings.Replace(strings.TrimPrefix(l.registry, "http://"), "127.0.0.1", "localhost", 1) + "/" + image + "@" + digest
		if err := l.step(r.sign+ref, l.values()); err != nil {
			t.Fatal(err)
		}
		if err := l.race(t, r, ref); err != nil {
			t.Fatal(err)
		}
	}
}

// race prints the medians and how many times faster assay is.
func (l *lab) race(t *testing.T, r race, ref string) error {
	var theirs, ours []time.Duration
	for range benchRuns {
		took, err := l.timed(t, r.cosign+ref)
		if err != nil {
			return err
		}
		theirs = append(theirs, took)
		if took, err = l.timed(t, r.assay+ref); err != nil {
			return err
		}
		ours = append(ours, took)
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	median, other := ours[benchRuns/2], theirs[benchRuns/2]
	fmt.Printf("%-22s assay %4d ms   cosign %4d ms   %.1f times faster\n",
		r.name, median.Milliseconds(), other.Milliseconds(), float64(other)/float64(median))
	return nil
}

// timed runs a command in a home that nothing was kept in.
func (l *lab) timed(t *testing.T, command string) (time.Duration, error) {
	words := strings.Fields(command)
	path, err := l.program(words[0])
	if err != nil {
		return 0, err
	}
	home := t.TempDir()
	cmd := exec.Command(path, words[1:]...)
	cmd.Dir = l.folder
	cmd.Env = append(l.env(), "HOME="+home, "TUF_ROOT="+filepath.Join(home, "tuf"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"))
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return took, nil
}
