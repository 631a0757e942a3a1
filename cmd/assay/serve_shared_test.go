package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/assay-dev/assay/engine/shared/sharedtest"
)

// sharedKey writes a file of keys, each of one byte repeated.
func sharedKey(t *testing.T, bytesOf ...byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "shared.key")
	replace(t, name, keyLines(bytesOf...))
	return name
}

func keyLines(bytesOf ...byte) string {
	var lines strings.Builder
	for _, b := range bytesOf {
		fmt.Fprintln(&lines, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)))
	}
	return lines.String()
}

// Command lines that leave open with whom is shared, and how that is safe, are refused, and no error shows a secret.
func TestT27_SharedCacheFlags(t *testing.T) {
	good := sharedKey(t, 1)
	file := func(content string, mode os.FileMode) string {
		name := filepath.Join(t.TempDir(), "file")
		must(t, os.WriteFile(name, []byte(content), 0o600))
		must(t, os.Chmod(name, mode))
		return name
	}
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"no key", []string{"--shared-cache", "redis://a"}, "nobody could tell an entry from a forged one"},
		{"no cache", []string{"--shared-cache-key", good}, "go with --shared-cache"},
		{"no URL", []string{"--shared-cache", "a:6379", "--shared-cache-key", good}, "want redis://HOST:PORT"},
		{"an empty URL", []string{"--shared-cache=", "--shared-cache-key", good}, "is empty"},
		{"a password in the URL", []string{"--shared-cache", "redis://:hunter2@a", "--shared-cache-key", good}, "which have files of their own"},
		{"a user without password", []string{"--shared-cache", "redis://a", "--shared-cache-key", good, "--shared-cache-user", "u"}, "without --shared-cache-password-file"},
		{"authorities without TLS", []string{"--shared-cache", "redis://a", "--shared-cache-key", good, "--shared-cache-ca", good}, "write rediss://"},
		{"no file", []string{"--shared-cache", "redis://a", "--shared-cache-key", good + "x"}, "no such file"},
		{"no keys in it", []string{"--shared-cache", "redis://a", "--shared-cache-key", file("hunter2", 0o600)}, "want base64 of 32"},
		{"too long", []string{"--shared-cache", "redis://a", "--shared-cache-key", file(strings.Repeat("#\n", 4<<10), 0o600)}, "more than"},
		{"no authorities in it", []string{"--shared-cache", "rediss://a", "--shared-cache-key", good, "--shared-cache-ca", file("hunter2", 0o600)}, "holds no certificate"},
		{"no password in it", []string{"--shared-cache", "redis://a", "--shared-cache-key", good, "--shared-cache-password-file", file("\n", 0o600)}, "holds no password"},
		{"others may write the keys", []string{"--shared-cache", "redis://a", "--shared-cache-key", file(keyLines(1), 0o622)}, "others may write to it"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(row.want, "others") {
				t.Skip("files have no such mode")
			}
			r := runAssay(t, "", append([]string{"serve", "api", "--insecure-plain-http", "--listen", "127.0.0.1:0", "--policy", servedPolicy(t, "a")}, row.args...)...)
			if r.code != exitUsage || !strings.Contains(r.stderr, row.want) || strings.Contains(r.stderr, "hunter2") {
				t.Errorf("exit code %d: %s", r.code, r.stderr)
			}
		})
	}
	for point, has := range map[string]bool{"api": true, "kubernetes": true, "node": true, "docker": false} {
		if r := runAssay(t, "", "serve", point, "--help"); strings.Contains(r.stdout, "--shared-cache-key") != has {
			t.Errorf("serve %s: flags of a shared cache: %v, want %v", point, !has, has)
		}
	}
}

var notTheSame = regexp.MustCompile(`"cached":(true|false)|"duration":\{[^}]*\}`)

// Two replicas of the program: the second says what the first proved without a request to a registry, and goes on when the keys change, when
// they are wrong and when the cache is gone.
func TestT27_ReplicasShareAndDoWithout(t *testing.T) {
	s := newStage(t)
	cache := sharedtest.New(t, "hunter2", nil)
	key := sharedKey(t, 1)
	password := filepath.Join(t.TempDir(), "password")
	replace(t, password, "hunter2\n")
	registries := filepath.Join(t.TempDir(), "registries.yaml")
	replace(t, registries, "registries:\n- {host: \""+s.host+"\", insecurePlainHTTP: true, insecureAllowLoopback: true}\n")
	start := func() *running {
		return serve(t, "--insecure-plain-http", "--policy", s.policy, "--registries", registries,
			"--shared-cache", cache.URL(), "--shared-cache-key", key, "--shared-cache-user", "assay", "--shared-cache-password-file", password)
	}
	digest := s.server.PushImage("shop/other", "1", "linux/amd64", "nobody signed this")
	good := resolved(t, s, "shop/api", "1")
	question := fmt.Sprintf(`{"images":[%q,%q]}`, good, s.host+"/shop/other@"+digest.String())
	ask := func(r *running) string {
		t.Helper()
		status, _, body := r.ask("/v1/verdicts", question)
		if status != 200 || !strings.Contains(body, `"allowed":true`) || !strings.Contains(body, `"allowed":false`) {
			t.Fatalf("status %d: %s\n%s", status, body, r.log)
		}
		return notTheSame.ReplaceAllString(body, "")
	}
	one := start()
	want := ask(one)
	cache.Await(1)
	var two *running
	for range 10 { // a busy machine may answer too late
		two = start()
		s.server.ResetRequests()
		if got := ask(two); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if two.metric(`assay_shared_cache_recalls_total{result="hit"} 1`) {
			break
		}
	}
	for _, r := range s.server.Requests() {
		if strings.Contains(r.String(), "shop/api") {
			t.Errorf("the second replica sent %s", r)
		}
	}
	if !two.metric(`assay_shared_cache_recalls_total{result="hit"} 1`) || !two.metric(`assay_shared_cache_recalls_total{result="miss"} 1`) ||
		!one.metric(`assay_shared_cache_keeps_total{result="kept"} 1`) || !one.metric(`assay_shared_cache_away{what="recalling"} 0`) {
		t.Error(two.log)
	}
	for name, entry := range cache.Entries() {
		if strings.Contains(name+entry, "shop") {
			t.Error("the cache shows the names of images")
		}
	}
	// Another key is read without a restart, and one that is none leaves the one before in force.
	replace(t, key, keyLines(2, 1))
	two.until("the new key counts", func() bool { return two.metric(`assay_reloads_total{result="used",what="shared-cache"} 2`) })
	replace(t, key, "hunter2\n")
	two.until("what is no key does not", func() bool { return two.metric(`assay_reload_refused{what="shared-cache"} 1`) })
	if got := ask(two); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	replace(t, key, keyLines(2, 1))
	cache.Stop()
	if got := ask(start()); got != want {
		t.Errorf("without the cache: got  %s\nwant %s", got, want)
	}
	for _, r := range []*running{one, two} {
		if strings.Contains(r.log.String(), "hunter2") {
			t.Error("the log shows the password")
		}
	}
}

// resolved is an image of the stage by its digest.
func resolved(t *testing.T, s *stage, repository, tag string) string {
	t.Helper()
	r := runAssay(t, "", "verify", "-p", s.policy, "-o", "json", s.host+"/"+repository+":"+tag)
	m := regexp.MustCompile(`"digest":\s*"(sha256:[0-9a-f]{64})"`).FindStringSubmatch(r.stdout)
	if m == nil {
		t.Fatalf("no digest: %s%s", r.stdout, r.stderr)
	}
	return s.host + "/" + repository + "@" + m[1]
}

// Keys that everybody on the host can read are said.
func TestT27_KeysThatEverybodyReads(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such mode")
	}
	cache := sharedtest.New(t, "", nil)
	key := sharedKey(t, 1)
	for mode, want := range map[os.FileMode]bool{0o600: false, 0o440: false, 0o644: true} {
		must(t, os.Chmod(key, mode))
		r := serve(t, "--insecure-plain-http", "--policy", servedPolicy(t, "a"), "--shared-cache", cache.URL(), "--shared-cache-key", key)
		if got := strings.Contains(r.log.String(), "everybody on this host can read the keys"); got != want {
			t.Errorf("mode %o: warned %v, want %v", mode, got, want)
		}
	}
}
