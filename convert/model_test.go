package convert_test

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/assay-dev/assay/convert"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
)

// repository is one entry of a trust file, for the model of what the original does with it.
type repository struct {
	name     string
	priority int
	enabled  bool
	server   string // of the signer, so that rules can be told apart
}

// document writes a trust file.
func document(repositories []repository) string {
	var b strings.Builder
	b.WriteString("repositories:\n")
	for _, r := range repositories {
		fmt.Fprintf(&b, "- name: %s\n  priority: %d\n  trust: {enabled: %t, trustServer: %q}\n", policy.Quote(r.name), r.priority, r.enabled, r.server)
	}
	return b.String()
}

// originalName is the name of an image to the original: without tag and digest, and completed only where it has no slash.
func originalName(ref string) string {
	name, _, _ := strings.Cut(ref, "@sha256:")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	if !strings.Contains(name, "/") {
		name = "docker.io/library/" + name
	}
	return name
}

// original is what the original does with an image: "deny", "allow", or the server whose signatures it needs.
func original(repositories []repository, ref string) string {
	sorted := slices.Clone(repositories)
	slices.SortStableFunc(sorted, func(a, b repository) int { return b.priority - a.priority })
	for _, r := range sorted {
		switch {
		case !regexp.MustCompile(r.name).MatchString(originalName(ref)):
		case !r.enabled:
			return "allow"
		default:
			return r.server
		}
	}
	return "deny"
}

// converted is what the policy does with an image, in the same words.
func converted(t testing.TB, r *convert.Result, ref string) string {
	t.Helper()
	return deciding(t, r)(ref)
}

// deciding is converted for several images.
func deciding(t testing.TB, r *convert.Result) func(ref string) string {
	t.Helper()
	p, authorities := parsed(t, r.Policy)
	return func(ref string) string {
		t.Helper()
		rule, _, err := p.Match(policy.Query{Ref: image.MustParse(ref)})
		switch {
		case err != nil:
			t.Fatalf("%s: %v\n%s", ref, err, r.Policy)
		case rule == nil && p.Unmatched == policy.DenyUnmatched, rule != nil && rule.Deny != "":
			return "deny"
		case rule != nil && rule.Allow != "":
			return "allow"
		case rule != nil && rule.Require != nil && len(rule.Require.Of) == 1:
			return authorities[rule.Require.Of[0].Authority].Server
		}
		t.Fatalf("%s: got %+v\n%s", ref, rule, r.Policy)
		return ""
	}
}

// expressions draws expressions over names, good and careless ones.
func expressions() *rapid.Generator[string] {
	pieces := []string{
		`registry\.example`, `registry.example`, `/`, `prod`, `app`, `:5000`, `.*`, `[a-z]+`, `(registry\.example|localhost)`, `^`, `$`, `(?:x|prod/)?`, `[^/]*`, `docker\.io/`, `library`,
		`.+`, `(?:prod/){1,2}`, `(?:[a-z.]+/){1,}`, `\w+`, `\b`, `(?i)PROD`, `.`, `[^a-z]`, `(/app)*`, `localhost`, `evil`, `(a|b/|:)+`, `\S*`, `|`, `alpine`,
	}
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 5).Draw(t, "pieces"), "")
	}).Filter(func(s string) bool {
		_, err := regexp.Compile(s)
		return err == nil
	})
}

// images are names in canonical form, with tags and digests that look like parts of names.
func images() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		name := rapid.SampledFrom([]string{
			"registry.example/prod/app", "registry.example:5000/prod/app", "registry.example/app", "evil.example/registry.example/prod", "evil-registry.example/prod/app",
			"docker.io/library/alpine", "docker.io/prod/app", "docker.io/app/prod/prod", "localhost/app", "localhost:5000/app", "evil.example/localhost/x", "b.example/x/prod",
			"registry.example/prod/registry.example", "x.example/a",
		}).Draw(t, "name")
		tag := rapid.SampledFrom([]string{"", ":latest", ":prod", ":app", ":evil", ":alpine", ":registry.example", ":5000"}).Draw(t, "tag")
		digest := rapid.SampledFrom([]string{"", "", "@sha256:" + strings.Repeat("5", 64)}).Draw(t, "digest")
		return name + tag + digest
	})
}

func repositories() *rapid.Generator[[]repository] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) repository {
		return repository{
			name: expressions().Draw(t, "name"), priority: rapid.IntRange(0, 2).Draw(t, "priority"), enabled: rapid.Bool().Draw(t, "enabled"),
			server: "https://" + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "server") + ".example",
		}
	}), 1, 4)
}

// imported converts a trust file that has one error at most: that no name in it is that of an image.
func imported(t *rapid.T, given []repository, o convert.TrustFileOptions) *convert.Result {
	r, err := convert.TrustFile("trust.yaml", []byte(document(given)), o)
	if err != nil && !strings.Contains(err.Error(), "no name in it is that of an image") {
		t.Fatalf("%v\n%s", err, document(given))
	}
	return r
}

// With the insecure form every image meets the rule that it met: whatever the expressions are, and whatever tag it has.
func TestCSE8_UnanchoredRulesAreThoseOfTheOriginal(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		given := repositories().Draw(rt, "repositories")
		r := imported(rt, given, convert.TrustFileOptions{InsecureUnanchored: true})
		if r == nil {
			return
		}
		decide := deciding(t, r)
		for range 8 {
			ref := images().Draw(rt, "image")
			got, want := decide(ref), original(given, ref)
			if got != want && !(got == "deny" && shortDiffers(given, ref, want)) {
				rt.Fatalf("%s: got %s, want %s\n%s\n%s", ref, got, want, document(given), r.Policy)
			}
		}
	})
}

// shortDiffers reports whether the original gave another answer where somebody wrote a name of Docker Hub without its registry, which nobody can
// tell from the whole name any more.
func shortDiffers(given []repository, ref, whole string) bool {
	path, hub := strings.CutPrefix(ref, "docker.io/")
	if !hub {
		return false
	}
	name, _ := strings.CutPrefix(path, "library/")
	return original(given, path) != whole || original(given, name) != whole
}

// Without it no image is accepted on less than before: what a rule no longer matches reaches no rule that accepts it otherwise. Whole
// names are decided as they were.
func TestCSE8_TheConvertedPolicyIsNeverWeaker(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		given := repositories().Draw(rt, "repositories")
		r := imported(rt, given, convert.TrustFileOptions{})
		if r == nil {
			return
		}
		anchored := slices.Clone(given)
		for i := range anchored {
			anchored[i].name = `\A(?:` + anchored[i].name + `)\z`
		}
		decide := deciding(t, r)
		for range 8 {
			ref := images().Draw(rt, "image")
			got, before := decide(ref), original(given, ref)
			if got != "deny" && before != "allow" && got != before {
				rt.Fatalf("%s: got %s, was %s\n%s\n%s", ref, got, before, document(given), r.Policy)
			}
			if whole := original(anchored, ref); got != whole && got != "deny" {
				rt.Fatalf("%s: got %s, want %s\n%s\n%s", ref, got, whole, document(given), r.Policy)
			}
		}
	})
}

// Names of Docker Hub that somebody writes without their registry are never accepted on less than before either.
func TestCSE8_ShortNamesAreNeverWeaker(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		given := repositories().Draw(rt, "repositories")
		o := convert.TrustFileOptions{InsecureUnanchored: rapid.Bool().Draw(rt, "unanchored")}
		r := imported(rt, given, o)
		if r == nil {
			return
		}
		ref := rapid.SampledFrom([]string{"prod/app", "prod/app:prod", "app/prod/x", "library/app", "evil/prod", "alpine", "prod"}).Draw(rt, "image")
		before, full := original(given, ref), original(given, image.MustParse(ref).Name())
		if got := converted(t, r, ref); got != "deny" && got != before && before != "allow" && got != full {
			rt.Fatalf("%s: got %s, was %s and in full %s\n%s\n%s", ref, got, before, full, document(given), r.Policy)
		}
	})
}

// The five rows of the original, by a file that has each of its keys.
func TestCSE8_FiveRows(t *testing.T) {
	r := trustFile(t, "trust.yaml", convert.TrustFileOptions{Options: convert.Options{Now: now}, IgnoredNamespaces: "sighup.io/webhook=ignore"})
	p, authorities := parsed(t, r.Policy)
	inCluster := func(label string) policy.Request {
		return policy.Request{Point: "kubernetes", Namespace: "x", HasNamespace: true, NamespaceLabels: map[string]string{"sighup.io/webhook": label}}
	}
	if p.InScope(inCluster("ignore")) || !p.InScope(inCluster("other")) {
		t.Error("row 1: the policy speaks about a namespace that is not in scope, or not about one that is")
	}
	match := func(ref string) *policy.Rule {
		rule, _, err := p.Match(policy.Query{Ref: image.MustParse(ref)})
		if err != nil {
			t.Fatal(err)
		}
		return rule
	}
	if rule := match("quay.io/any/image"); rule == nil || rule.Deny != "No repository matched" || p.Unmatched != policy.DenyUnmatched {
		t.Errorf("row 2: got %+v", rule)
	}
	if rule := match("quay.io/any/tools"); rule == nil || rule.Allow == "" {
		t.Errorf("row 3: got %+v", rule)
	}
	rule := match("registry.acme.example/prod/app")
	if rule == nil || rule.Require == nil || rule.Require.AtLeast != 1 || len(rule.Require.Of) != 1 || rule.Digest != policy.PinDigest {
		t.Fatalf("rows 4 and 5: got %+v", rule)
	}
	a := authorities[rule.Require.Of[0].Authority]
	want := []notarySigner{{Role: "targets/qa", PublicKey: read(t, "qa.pub")}, {Role: "targets/jenkins", Certificate: read(t, "jenkins.crt")}}
	if a.Server != "https://notary-server.notary.svc:4443" || !slices.Equal(a.Signers, want) {
		t.Errorf("rows 4 and 5: got %+v, want %+v", a, want)
	}
}

// Each key of a trust file has its place in the policy.
func TestCSE8_Keys(t *testing.T) {
	signer := func(role, file string) string {
		return "{role: " + role + ", publicKey: " + base64.StdEncoding.EncodeToString([]byte(read(t, file))) + "}"
	}
	one := func(trust string) string {
		return "repositories: [{name: \"registry[.]example/.*\", trust: {enabled: true, trustServer: \"https://n.example\"" + trust + "}}]"
	}
	no, yes := false, true
	rows := []struct {
		name, doc string
		options   convert.TrustFileOptions
		want      string // in the policy
		wantNot   string
	}{
		{"trust server", one(""), convert.TrustFileOptions{}, `server: "https://n.example"`, "signers"},
		{"certificate", one(", signers: [" + signer("targets/jenkins", "jenkins.crt") + "]"), convert.TrustFileOptions{}, "certificate: |", "publicKey"},
		{"public key", one(", signers: [" + signer("targets/jenkins", "jenkins.pub") + "]"), convert.TrustFileOptions{}, "publicKey: |", "certificate"},
		{"no signers", one(", signers: []"), convert.TrustFileOptions{}, "n.example:\n", "roles"},
		{"roles", one(""), convert.TrustFileOptions{Options: convert.Options{Roles: []string{"targets/ci"}}}, "roles:\n        - \"targets/ci\"", "signers"},
		{"no login", one(", auth: {user: \"\", pass: \"\"}"), convert.TrustFileOptions{}, "n.example", "user"},
		{"strict is the default", one(""), convert.TrustFileOptions{}, "digest: pin", "insecureReplace"},
		{"not strict in values", "strict: false\n" + one(""), convert.TrustFileOptions{}, "digest: insecureReplace", "digest: pin"},
		{"not strict by a flag", one(""), convert.TrustFileOptions{Strict: &no}, "digest: insecureReplace", "digest: pin"},
		{"the flag beats the values", "strict: false\n" + one(""), convert.TrustFileOptions{Strict: &yes}, "digest: pin", "insecureReplace"},
		{"roots by key", one(""), convert.TrustFileOptions{Options: convert.Options{Roots: convert.Roots{Keys: read(t, "qa.pub")}}}, "root:\n          keys: |", "insecureTrustOnFirstUse"},
		{"trust on first use", one(""), convert.TrustFileOptions{}, "insecureTrustOnFirstUse: true", "root:"},
		{"a name", one(""), convert.TrustFileOptions{Options: convert.Options{Name: "cluster-1"}}, `name: "cluster-1"`, "container-signature-enforcer\"\n"},
		{"disabled", "repositories: [{name: \"x.example/.*\", trust: {enabled: false}}]", convert.TrustFileOptions{}, "allow: \"trust is disabled for x.example/.* in trust.yaml, line 1\"", "authorities"},
		{"absent enabled is false", "repositories: [{name: \"x.example/.*\", trust: {}}]", convert.TrustFileOptions{}, "allow: ", "require"},
		{"old spelling of keys", "Repositories: [{NAME: \"x.example/.*\", Priority: 3, trust: {enabled: true, trustserver: \"https://n.example\"}}]", convert.TrustFileOptions{}, "priority 3", "allow"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			row.options.Now = now
			r, err := convert.TrustFile("trust.yaml", []byte(row.doc), row.options)
			if err != nil {
				t.Fatal(err)
			}
			parsed(t, r.Policy)
			if got := string(r.Policy); !strings.Contains(got, row.want) || strings.Contains(got, row.wantNot) {
				t.Errorf("want %q and not %q in\n%s", row.want, row.wantNot, got)
			}
		})
	}
}

// CSE-6: the higher priority decides, and equal ones follow the page.
func TestCSE6_PrioritiesAndThePage(t *testing.T) {
	rows := []struct {
		name  string
		given []repository
		want  string
		note  string // that is expected
	}{
		{"the higher one", []repository{{`^r\.example/.*`, 1, false, ""}, {`^r\.example/app$`, 10, true, "https://a.example"}}, "https://a.example", ""},
		{"the higher one, first on the page", []repository{{`^r\.example/app$`, 10, true, "https://a.example"}, {`^r\.example/.*`, 1, false, ""}}, "https://a.example", ""},
		{"negative ones come last", []repository{{`^r\.example/.*`, -1, true, "https://b.example"}, {`^r\.example/app$`, 0, true, "https://a.example"}}, "https://a.example", ""},
		{"equal ones", []repository{{`^r\.example/.*`, 0, true, "https://b.example"}, {`^r\.example/app$`, 0, true, "https://a.example"}}, "https://b.example", "lines 2, 5"},
		{"equal ones, the other way round", []repository{{`^r\.example/app$`, 0, true, "https://a.example"}, {`^r\.example/.*`, 0, true, "https://b.example"}}, "https://a.example", "lines 2, 5"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r, err := convert.TrustFile("trust.yaml", []byte(document(row.given)), convert.TrustFileOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := converted(t, r, "r.example/app:1"); got != row.want {
				t.Errorf("got %s, want %s\n%s", got, row.want, r.Policy)
			}
			if got := report(r); row.note != "" && !strings.Contains(got, row.note) || row.note == "" && strings.Contains(got, "was not promised") {
				t.Errorf("want a note with %q\n%s", row.note, got)
			}
		})
	}
}
