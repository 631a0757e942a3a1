package material

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const token = "hvs.secret"

// transit is Vault's transit engine, as far as public keys are read from it.
func transit(t testing.TB, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server
}

// answerKey answers with a key.
func answerKey(kind string, public string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/transit/keys/release" {
			http.NotFound(w, r)
			return
		}
		if r.Header.Get("X-Vault-Token") != token {
			http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{
			"type": kind, "latest_version": 2, "keys": map[string]any{"1": map[string]any{"public_key": "old"}, "2": map[string]any{"public_key": public, "name": kind}},
		}})
	}
}

func vaultAt(address string, edits ...func(*VaultConfig)) func(*Config) {
	c := VaultConfig{Address: address, Token: func() (string, error) { return token + "\n", nil }}
	for _, e := range edits {
		e(&c)
	}
	return func(config *Config) { config.KMS = map[string]Provider{VaultScheme: Vault(c)} }
}

func TestKMS(t *testing.T) {
	ec, ed := ecKey(t), edKey(t)
	rows := []struct{ kind, public string }{
		{"ecdsa-p256", string(publicPEM(t, ec))},
		{"rsa-2048", string(publicPEM(t, rsaKey(t, 2048)))},
		{"ed25519", base64.StdEncoding.EncodeToString(ed.Public().(ed25519.PublicKey))},
	}
	for _, row := range rows {
		t.Run(row.kind, func(t *testing.T) {
			server := transit(t, answerKey(row.kind, row.public))
			cache := t.TempDir()
			k, _ := keeperAt(t, now, vaultAt(server.URL), cachedIn(cache))
			source, err := k.KMS("hashivault://release")
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.Key(now)
			wants(t, err, "hashivault://release: was never fetched")
			if err := k.Prepare(context.Background()); err != nil {
				t.Fatal(err)
			}
			key, err := source.Key(now)
			if err != nil || source.Version() != key.Fingerprint || source.Name() != "hashivault://release" {
				t.Fatalf("got %v, %v", key, err)
			}
			if same, _ := k.KMS("hashivault://release"); same != source {
				t.Error("equal references have two sources")
			}
			server.Close()
			k, _ = keeperAt(t, now.Add(day), vaultAt(server.URL), cachedIn(cache))
			source, err = k.KMS("hashivault://release")
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Refresh(context.Background()); err == nil {
				t.Error("a Vault that is down is no error")
			}
			again, err := source.Key(now.Add(day))
			if err != nil || again.Fingerprint != key.Fingerprint {
				t.Errorf("the copy on disk: got %v, %v", again, err)
			}
			if s := source.Status(now.Add(10 * day)); !s.Stale || s.Warning == "" || s.Kind != KindKMS || s.LastError == nil {
				t.Errorf("got status %+v", s)
			}
			if _, err := source.Key(now.Add(400 * day)); err == nil {
				t.Error("a copy is used for ever")
			}
			if _, err := source.Key(now.Add(-3 * day)); err == nil {
				t.Error("a copy of the future is used")
			}
		})
	}
}

func TestKMSFaults(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, token, code) }
	}
	say := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	}
	rows := []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"403", status(403), "403 permission denied; the token needs the capability read"},
		{"404", status(404), "no such key or transit engine"},
		{"503", status(503), "sealed"},
		{"500", status(500), "500 Internal Server Error"},
		{"junk", say("junk"), "answer of Vault"},
		{"no key", say("{}"), "has no newest version"},
		{"symmetric key", say(`{"data":{"type":"aes256-gcm96","latest_version":1,"keys":{"1":1700000000}}}`), `"aes256-gcm96" has no public half`},
		{"junk key", say(`{"data":{"type":"ecdsa-p256","latest_version":1,"keys":{"1":{"public_key":"junk"}}}}`), "holds no public key"},
		{"short key", say(`{"data":{"type":"ed25519","latest_version":1,"keys":{"1":{"public_key":"AAAA"}}}}`), "Ed25519 key of 3 bytes"},
		{"endless", func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, "more than 1048576 bytes"},
		{"hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "deadline exceeded"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://evil.example/", http.StatusTemporaryRedirect)
		}, "the token is for the address that was given only"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			server := transit(t, row.answer)
			k, _ := keeperAt(t, now, vaultAt(server.URL))
			source, err := k.KMS("hashivault://release")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			err = k.Prepare(ctx)
			wants(t, err, row.want)
			wants(t, err, "hashivault://release")
			if strings.Contains(fmt.Sprint(err), token) {
				t.Errorf("the error repeats a token: %v", err)
			}
			if _, err := source.Key(now); err == nil {
				t.Error("there is a key")
			}
		})
	}
}

func TestKMSConfiguration(t *testing.T) {
	rows := []struct {
		name, ref string
		edit      func(*VaultConfig)
		want      string
	}{
		{"no reference", "release", nil, "is no reference to a key"},
		{"empty", "", nil, "is no reference to a key"},
		{"unknown service", "nokms://release", nil, `no key management service "nokms"; it has: hashivault`},
		{"credentials", "hashivault://user:secret@release", nil, "holds credentials"},
		{"path", "hashivault://a/b", nil, "write hashivault://name"},
		{"dots", "hashivault://..", nil, "write hashivault://name"},
		{"query", "hashivault://a?b", nil, "write hashivault://name"},
		{"no address", "hashivault://a", func(c *VaultConfig) { c.Address = "" }, "set VAULT_ADDR"},
		{"plain HTTP", "hashivault://a", func(c *VaultConfig) { c.Address = "http://vault.example" }, "in plain text; use https"},
		{"password in the address", "hashivault://a", func(c *VaultConfig) { c.Address = "https://u:secret@vault.example" }, "holds a password"},
		{"no token", "hashivault://a", func(c *VaultConfig) { c.Token = func() (string, error) { return "", errors.New("none") } }, "token for Vault: none"},
		{"broken token", "hashivault://a", func(c *VaultConfig) { c.Token = func() (string, error) { return "secret\nX-Evil: 1", nil } }, "characters that no token has"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			edit := row.edit
			if edit == nil {
				edit = func(*VaultConfig) {}
			}
			k, _ := keeperAt(t, now, vaultAt("http://127.0.0.1:1", edit))
			_, err := k.KMS(row.ref)
			if err == nil {
				err = k.Refresh(context.Background())
			}
			wants(t, err, row.want)
			if strings.Contains(fmt.Sprint(err), "secret") {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}

// What can be no key of Vault is an error before anything is asked.
func TestKMSNames(t *testing.T) {
	k, _ := keeperAt(t, now, vaultAt("http://127.0.0.1:1"))
	for _, ref := range []string{
		"hashivault://a/b", "hashivault://..", "hashivault://a?b", "hashivault://a?", "hashivault://a#b", "hashivault:a", "hashivault:///a",
		"hashivault://a:1", "hashivault://a/", "hashivault://-a", "hashivault://a%41",
	} {
		if _, err := k.KMS(ref); err == nil || !strings.Contains(err.Error(), "write hashivault://name") {
			t.Errorf("%s: got %v", ref, err)
		}
	}
	for _, ref := range []string{"hashivault://release", "hashivault://Release-2.x_1"} {
		if _, err := k.KMS(ref); err != nil {
			t.Error(err)
		}
	}
}

// A copy of a key that others may write is no copy of a key.
func TestKMSCopy(t *testing.T) {
	server := transit(t, answerKey("ecdsa-p256", string(publicPEM(t, ecKey(t)))))
	rows := []struct {
		name   string
		tamper func(t *testing.T, folder, file string)
		want   string
	}{
		{"file that others may write", func(t *testing.T, _, file string) { chmod(t, file, 0o620) }, "others may write it"},
		{"folder that others may write", func(t *testing.T, folder, _ string) { chmod(t, folder, 0o777) }, "others may write it"},
		{"junk", func(t *testing.T, _, file string) { write(t, file, []byte("junk")) }, "is damaged"},
		{"copy of another key", func(t *testing.T, _, file string) { write(t, file, []byte(`{"ref":"hashivault://other"}`)) }, "is damaged"},
		{"no key", func(t *testing.T, _, file string) { write(t, file, []byte(`{"ref":"hashivault://release","pem":"x"}`)) }, "holds no public key"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			cache := t.TempDir()
			k, _ := keeperAt(t, now, vaultAt(server.URL), cachedIn(cache))
			if _, err := k.KMS("hashivault://release"); err != nil {
				t.Fatal(err)
			}
			refresh(t, k)
			files, _ := filepath.Glob(filepath.Join(cache, "kms", "*.json"))
			if len(files) != 1 {
				t.Fatalf("got files %q", files)
			}
			row.tamper(t, filepath.Join(cache, "kms"), files[0])
			k, _ = keeperAt(t, now, vaultAt(server.URL), cachedIn(cache))
			source, err := k.KMS("hashivault://release")
			if err != nil {
				t.Fatal(err)
			}
			_, err = source.Key(now)
			wants(t, err, row.want)
		})
	}
}

func chmod(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

// A provider that panics does not end the process.
func TestKMSPanic(t *testing.T) {
	k, _ := keeperAt(t, now, func(c *Config) {
		c.KMS = map[string]Provider{"bad": func(context.Context, *url.URL) (*Key, error) { panic("bug") }}
	})
	if _, err := k.KMS("bad://key"); err != nil {
		t.Fatal(err)
	}
	wants(t, k.Refresh(context.Background()), "bug")
}
