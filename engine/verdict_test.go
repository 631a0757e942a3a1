package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

var update = flag.Bool("update", false, "write the golden files of verdicts anew")

// verdicts are examples of everything that a verdict can say, made by hand with fixed times.
func verdicts() map[string]engine.Verdict {
	digest := image.MustParseDigest(fixedDigest)
	signed := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	return map[string]engine.Verdict{
		"allowed": {
			Image: "Registry.example/prod/api:1", Canonical: "registry.example/prod/api:1", Digest: digest,
			Pin: "registry.example/prod/api:1@" + fixedDigest, Allowed: true, Cached: true,
			Decision: engine.Decision{Policy: "production", Mode: "enforce", Rule: "rules[1] (line 20)", Outcome: engine.Allowed, Authorities: []engine.Attestation{
				{
					Authority: "release", Format: "certificate", Standing: engine.Proved, Digest: digest, Signer: "CN=dia-00", Issuer: "CN=CI",
					Serial: "4f:a2", Key: "SHA256:xyz", SignedAt: signed, Expires: signed.Add(time.Hour), Weakened: []string{"insecureIgnoreDates"},
					Log: []trust.LogEntry{{ID: "log.example", Index: 7}},
				},
				{Authority: "jenkins", Format: "certificate", Standing: engine.Unasked},
				{
					Authority: "github", Format: "sigstore", Standing: engine.Proved, Digest: digest, Key: "SHA256:abc", Serial: "01",
					Signer: "https://github.com/acme/api/.github/workflows/release.yml@refs/tags/1", Issuer: "https://token.actions.githubusercontent.com",
					Names:     []string{"https://github.com/acme/api/.github/workflows/release.yml@refs/tags/1", "release@acme.example"},
					Signature: []byte("signature"), SignedAt: signed,
					Log: []trust.LogEntry{
						{ID: "c0d23d6a", Index: 1234567, IntegratedTime: signed, SignedEntryTimestamp: []byte("promise")},
						{ID: "5f5f5f5f", Index: 8},
					},
					Attested: []trust.Attested{
						{PredicateType: "https://slsa.dev/provenance/v1", Signer: "builder@acme.example", SignedAt: signed},
						{PredicateType: "https://spdx.dev/Document", Signer: "SHA256:abc"},
					},
				},
			}},
			Warnings: []string{"trust material of github: 40 days old"},
			Also:     []engine.Decision{{Policy: "audit", Mode: "audit", Outcome: engine.Denied, Reason: "no rule speaks about it"}},
			Duration: engine.Duration{Total: 1500 * time.Microsecond, Resolve: time.Millisecond, Evidence: 500 * time.Microsecond},
		},
		"denied": {
			Image: "registry.example/prod/api:2", Canonical: "registry.example/prod/api:2", Digest: digest,
			Decision: engine.Decision{
				Policy: "production", Mode: "enforce", Rule: "rules[1] (line 20)", Outcome: engine.Denied, Reason: "release: untrusted: Invalid certificate",
				Authorities: []engine.Attestation{
					{Authority: "release", Format: "certificate", Standing: engine.Untrusted, Reason: "Invalid certificate"},
					{Authority: "jenkins", Format: "certificate", Standing: engine.Unsigned, Reason: "no certificate"},
				},
			},
		},
		"could-not-tell": {
			Image: "registry.example/prod/api:3", Canonical: "registry.example/prod/api:3",
			Decision: engine.Decision{Policy: "production", Mode: "warn", Outcome: engine.CouldNotTell, Reason: "connection refused", Authorities: []engine.Attestation{
				{Authority: "release", Format: "certificate", Standing: engine.Unclear, Reason: "connection refused"},
			}},
			Warnings: []string{"policy production would stop this image"}, Allowed: true,
		},
		"content": {
			Image: "registry.example/prod/api:4", Canonical: "registry.example/prod/api:4", Digest: digest, Allowed: true,
			Decision: engine.Decision{Policy: "production", Mode: "enforce", Rule: "rules[1] (line 20)", Outcome: engine.Allowed},
			Chain: []engine.Link{
				{Platform: "linux/amd64", Index: digest, Manifest: image.SHA256([]byte("manifest")), Config: image.SHA256([]byte("config"))},
				{Manifest: image.SHA256([]byte("manifest")), Config: image.SHA256([]byte("config"))},
			},
			ChainError: "sha256:…: 404 Not Found", Basis: "0123456789abcdef", Until: signed, Ends: signed.Add(time.Hour),
		},
		"bug": {Image: "x", Decision: engine.Decision{Outcome: engine.Bug, Reason: "bug: index out of range"}},
	}
}

func TestVerdictJSON(t *testing.T) {
	schema := compileSchema(t)
	for name, v := range verdicts() {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			out := json.NewEncoder(&got)
			out.SetIndent("", "  ")
			out.SetEscapeHTML(false)
			if err := out.Encode(&v); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "verdict", name+".json")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
			validate(t, schema, got.Bytes())
		})
	}
}

// What the engine really answers fits the schema as well.
func TestVerdictsFitTheSchema(t *testing.T) {
	schema := compileSchema(t)
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	for _, name := range []string{ref.String(), w.server.Host() + "/app/api:1", w.server.Host() + "/app/none:1", "registry.example./x", "other.example/x"} {
		v := w.decide(name)
		data, err := json.Marshal(&v)
		if err != nil {
			t.Fatal(err)
		}
		validate(t, schema, data)
	}
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(filepath.Join("..", "docs", "reference", "verdict.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, schema *jsonschema.Schema, data []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		t.Errorf("%v in\n%s", err, data)
	}
}

// A warm question stays cheap: the number of allocations can be told exactly, other than a time.
func TestWarmAllocations(t *testing.T) {
	w := newWorld(t)
	w.use(simple)
	ref := w.image("app/api", "1", "a")
	w.sign(w.right, ref)
	w.want(ref.String(), engine.Allowed)
	ctx, req := context.Background(), request(ref.String())
	if got := testing.AllocsPerRun(100, func() { w.engine.Decide(ctx, req) }); got > 5 {
		t.Errorf("got %v allocations, want 5 at most", got)
	}
}
