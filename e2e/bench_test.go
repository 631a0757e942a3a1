//go:build e2e

package e2e

import (
	"errors"
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
	name  string
	sign  string
	peer  string
	assay string
	home  string // what both keep from run to run; empty: nothing
}

func races() []race {
	const identity = "--trusted-root trusted_root.json " + isDev
	return []race{
		{name: "key, bundle", sign: signBundlePlain + withKey,
			peer:  "cosign verify --key p256.pub --insecure-ignore-tlog --trusted-root trusted_root.json ",
			assay: "assay verify --key p256.pub --insecure-ignore-tlog "},
		{name: "key, bundle with log", sign: signBundle + withKey,
			peer:  "cosign verify --key p256.pub --trusted-root trusted_root.json ",
			assay: "assay verify --key p256.pub --trusted-root trusted_root.json "},
		{name: "key, signature", sign: signLegacy + noLog + withKey,
			peer:  "cosign2 verify --key p256.pub --insecure-ignore-tlog --trusted-root trusted_root.json ",
			assay: "assay verify --key p256.pub --insecure-ignore-tlog "},
		{name: "keyless, bundle", sign: signBundle + asDev, peer: "cosign verify " + identity, assay: "assay verify " + identity},
		{name: "keyless, signature", sign: signLegacy + toFulcio + asDev,
			peer:  "cosign2 verify " + strings.ReplaceAll(identity, "root.json", "root_rekor1.json"),
			assay: "assay verify " + strings.ReplaceAll(identity, "root.json", "root_rekor1.json")},
	}
}

// TestBenchPeers times assay verify against cosign verify and notary lookup: whole processes, on the same image in the same registry. Against
// cosign with nothing kept from the run before, against notary with what either keeps of a repository that it has seen. make bench-peers runs
// it. cosign is given a trusted root also where it needs none: else it looks for one in the network.
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
	if err := l.raceNotary(t); err != nil {
		t.Fatal(err)
	}
}

// raceNotary is about a tag that a delegation has signed.
func (l *lab) raceNotary(t *testing.T) error {
	n, err := newNotary(l.folder, l.path, notaryOptions{})
	if err != nil {
		return err
	}
	t.Cleanup(n.Close)
	digest, err := l.pushImage("bench/notary")
	if err != nil {
		return err
	}
	ref := strings.Replace(strings.TrimPrefix(l.registry, "http://"), "127.0.0.1", "localhost", 1) + "/bench/notary"
	key, err := newKey()
	if err != nil {
		return err
	}
	home := t.TempDir()
	err = errors.Join((&pki{folder: l.folder}).keyPair("jenkins", key), n.clients(home, n.file("docker-config")))
	if err != nil {
		return err
	}
	commands := []string{
		"notary key import jenkins.key --role delegation",
		"notary init " + ref,
		"notary delegation add " + ref + " targets/jenkins jenkins.pub --all-paths -p",
	}
	for i := range benchTags {
		commands = append(commands, fmt.Sprintf("notary addhash %s %d 500 --sha256 %s -r targets/jenkins", ref, i+1, strings.TrimPrefix(digest, "sha256:")))
	}
	for _, command := range append(commands, "notary publish "+ref) {
		if _, err := l.timed(command, home, n.env()...); err != nil {
			return err
		}
	}
	root, err := n.rootCertificates(ref)
	if err != nil {
		return err
	}
	files := map[string]string{
		"bench-root.pem": string(root), "bench-registries.yaml": fmt.Sprintf(benchRegistries, n.host()),
		"bench-policy.yaml": fmt.Sprintf(benchPolicy, n.url()),
	}
	for name, text := range files {
		if err := os.WriteFile(l.file(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	assay := "assay verify --registries bench-registries.yaml --policy bench-policy.yaml "
	one := race{name: "Notary v1, warm", home: home, peer: "notary lookup " + ref + " 1", assay: assay + ref + "@" + digest}
	// What a list of images costs: notary looks them up one by one, each time as a process that begins with the timestamp.
	many := race{name: fmt.Sprintf("Notary v1, warm, %d tags", benchTags), home: home, peer: "bash lookup-all", assay: assay + "--images-file bench-images.txt"}
	lookups, images := "set -e\n", ""
	for i := range benchTags {
		lookups += fmt.Sprintf("notary lookup %s %d\n", ref, i+1)
		images += fmt.Sprintf("%s:%d@%s\n", ref, i+1, digest)
	}
	err = errors.Join(os.WriteFile(l.file("lookup-all"), []byte(lookups), 0o600), os.WriteFile(l.file("bench-images.txt"), []byte(images), 0o600))
	for _, command := range []string{one.peer, one.assay} {
		if err == nil {
			_, err = l.timed(command, home)
		}
	}
	for _, r := range []race{one, many} {
		if err == nil {
			err = l.race(t, r, "")
		}
	}
	return err
}

// benchTags is how many tags a list of images has.
const benchTags = 20

// What assay is given where Notary's command line has its configuration.
const (
	benchRegistries = "registries: [{host: %q, caFile: notary-ca.pem}]\n"
	benchPolicy     = `apiVersion: assay.dev/v1
kind: TrustPolicy
metadata: {name: release}
spec:
  authorities:
    jenkins:
      notaryv1:
        server: %s
        root: {certificatesFiles: [bench-root.pem]}
        signers: [{role: targets/jenkins, files: [jenkins.pub]}]
  rules:
  - {images: ["**"], require: jenkins}
`
)

// race prints the medians and how many times faster assay is.
func (l *lab) race(t *testing.T, r race, ref string) error {
	var theirs, ours []time.Duration
	for range benchRuns {
		for command, all := range map[string]*[]time.Duration{r.peer: &theirs, r.assay: &ours} {
			home := r.home
			if home == "" {
				home = t.TempDir()
			}
			took, err := l.timed(command+ref, home)
			if err != nil {
				return err
			}
			*all = append(*all, took)
		}
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	median, other := ours[benchRuns/2], theirs[benchRuns/2]
	peer, _, _ := strings.Cut(r.peer, " ")
	fmt.Printf("%-22s assay %5.1f ms   %-7s %6.1f ms   %.1f times faster\n",
		r.name, median.Seconds()*1000, peer, other.Seconds()*1000, float64(other)/float64(median))
	return nil
}

// timed runs a command that keeps what it keeps in home.
func (l *lab) timed(command, home string, more ...string) (time.Duration, error) {
	words := strings.Fields(command)
	path, err := l.program(words[0])
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(path, words[1:]...)
	cmd.Dir = l.folder
	cmd.Env = append(l.env(), "HOME="+home, "TUF_ROOT="+filepath.Join(home, "tuf"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"),
		"XDG_STATE_HOME="+filepath.Join(home, "state"))
	cmd.Env = append(cmd.Env, more...)
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(begin)
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", command, err, out)
	}
	return took, nil
}
