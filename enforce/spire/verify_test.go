package spire

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
)

// deciderFunc decides as a test says.
type deciderFunc func(engine.Request) engine.Verdict

func (f deciderFunc) Decide(_ context.Context, req engine.Request) engine.Verdict { return f(req) }

var (
	runs    = image.SHA256([]byte("runs"))
	another = image.SHA256([]byte("another"))
)

// demandOf is a demand that is decided about by a test.
func demandOf(kind string, s *SigstoreSettings, decide deciderFunc, edits ...func(*DemandConfig)) Verifier {
	c := DemandConfig{Kind: kind, Sigstore: s, Point: &enforce.Point{Decider: decide}, Log: slog.New(slog.DiscardHandler)}
	for _, e := range edits {
		e(&c)
	}
	return NewDemand(c)
}

// proofBy is a proof of the format sigstore about a digest.
func proofBy(d image.Digest, names ...string) trust.Proof {
	return trust.Proof{Digest: d, Signers: []trust.Signer{{Names: names, Identity: trust.Identity{Issuer: "https://login.example", Subject: "x"}, Signature: []byte{1, 2}}}}
}

// allowed is a verdict by a policy that requires one authority.
func allowed(mode, authority, format string, proofs ...trust.Proof) engine.Verdict {
	return engine.Verdict{
		Digest: runs, Allowed: true,
		Decision: engine.Decision{Policy: "p-" + mode, Mode: mode, Outcome: engine.Allowed, Authorities: []engine.Attestation{
			{Authority: authority, Format: format, Standing: engine.Proved, Digest: runs, Proofs: proofs},
		}},
	}
}

var reference = "registry.example/app@" + runs.String()

// The code of a refusal follows the meaning, but where programs know another.
func TestRefusalsHaveTheCodesThatAreKnown(t *testing.T) {
	block := &SigstoreSettings{Identities: map[string][]string{"i": {"s"}}}
	older := &SigstoreSettings{Old: true, Identities: map[string][]string{"i": {"s"}}}
	for _, row := range []struct {
		kind    string
		s       *SigstoreSettings
		outcome engine.Outcome
		code    codes.Code
		meaning enforce.Meaning
		prefix  string
	}{
		{"docker", block, engine.Denied, codes.PermissionDenied, enforce.No, "sigstore signature verification failed for image app: errors: image_id " + reference + ": "},
		{"docker", block, engine.CouldNotTell, codes.Unavailable, enforce.CannotTell, "sigstore signature verification failed for image app: errors: image_id " + reference + ": could not tell, try again: "},
		{"docker", block, engine.Bug, codes.Internal, enforce.Bug, "sigstore signature verification failed"},
		{"docker", nil, engine.Denied, codes.PermissionDenied, enforce.No, "policy verification failed for image app: errors: image_id "},
		{"docker", nil, engine.CouldNotTell, codes.Unavailable, enforce.CannotTell, "policy verification failed for image app: errors: image_id "},
		{"k8s", nil, engine.Denied, codes.PermissionDenied, enforce.No, "policy verification failed for image app: errors: image_id "},
		{"k8s", nil, engine.Bug, codes.Internal, enforce.Bug, "policy verification failed"},
		{"k8s", block, engine.Denied, codes.Internal, enforce.No, "error verifying sigstore image signature for imageID app: "},
		{"k8s", block, engine.CouldNotTell, codes.Internal, enforce.CannotTell, "error verifying sigstore image signature for imageID app: could not tell, try again: "},
		{"k8s", older, engine.Denied, codes.Internal, enforce.No, "error retrieving signature payload: "},
		{"k8s", older, engine.CouldNotTell, codes.Internal, enforce.CannotTell, "error retrieving signature payload: could not tell, try again: "},
	} {
		v := demandOf(row.kind, row.s, func(engine.Request) engine.Verdict {
			return engine.Verdict{Decision: engine.Decision{Policy: "p", Mode: "enforce", Outcome: row.outcome, Reason: "because"}}
		})
		selectors, err := v.Verify(t.Context(), Subject{Image: "app", References: []string{reference}})
		if len(selectors) > 0 || status.Code(err) != row.code || meaningOf(err) != row.meaning || !strings.HasPrefix(status.Convert(err).Message(), row.prefix) {
			t.Errorf("%s %v %s: selectors %q, %v, meaning %v, error %v; want %v, %v, %q",
				row.kind, row.s, row.outcome, selectors, status.Code(err), meaningOf(err), err, row.code, row.meaning, row.prefix)
		}
	}
}

// The zero verdict denies, and so does a panic.
func TestVerdictsThatAreNone(t *testing.T) {
	subject := Subject{Image: "app", References: []string{reference}}
	for name, decide := range map[string]deciderFunc{
		"zero":  func(engine.Request) engine.Verdict { return engine.Verdict{} },
		"panic": func(engine.Request) engine.Verdict { panic("decide") },
	} {
		for _, kind := range []string{"docker", "k8s"} {
			if selectors, err := demandOf(kind, nil, decide).Verify(t.Context(), subject); err == nil || len(selectors) > 0 {
				t.Errorf("%s: selectors %q, error %v", name, selectors, err)
			}
		}
	}
}

// Of several references any suffices, so that one that could not be told outweighs those that were denied; only a bug outweighs that.
func TestSeveralReferences(t *testing.T) {
	outcomes := map[string]engine.Outcome{}
	v := demandOf("docker", nil, func(req engine.Request) engine.Verdict {
		return engine.Verdict{Decision: engine.Decision{Policy: "p", Outcome: outcomes[req.Image], Reason: req.Image}}
	})
	references := []string{"a@" + runs.String(), "b@" + runs.String()}
	for _, row := range []struct {
		first, second engine.Outcome
		want          enforce.Meaning
	}{
		{engine.Denied, engine.Denied, enforce.No}, {engine.Denied, engine.CouldNotTell, enforce.CannotTell},
		{engine.CouldNotTell, engine.Denied, enforce.CannotTell}, {engine.Bug, engine.CouldNotTell, enforce.Bug},
	} {
		outcomes[references[0]], outcomes[references[1]] = row.first, row.second
		if _, err := v.Verify(t.Context(), Subject{Image: "app", References: references}); meaningOf(err) != row.want {
			t.Errorf("%s and %s: %v, want %v", row.first, row.second, meaningOf(err), row.want)
		}
	}
}

// What only warns or audits gives nothing, whatever it says and wherever it stands in a verdict.
func TestT52_NoSelectorsOfLenientPolicies(t *testing.T) {
	subject := Subject{Image: "app", References: []string{reference}}
	for _, mode := range []string{"warn", "audit"} {
		lenient := allowed(mode, "a", "certificate", proofBy(runs, "n"))
		denied := lenient
		denied.Outcome, denied.Authorities = engine.Denied, nil
		beside := allowed("enforce", "right", "certificate", proofBy(runs, "right"))
		beside.Also = []engine.Decision{lenient.Decision}
		byRule := engine.Verdict{Digest: runs, Allowed: true, Decision: engine.Decision{Policy: "r", Mode: "enforce", Outcome: engine.Allowed}, Also: []engine.Decision{lenient.Decision}}
		for name, row := range map[string]struct {
			verdict engine.Verdict
			want    []string
		}{
			"proved": {lenient, nil}, "denied": {denied, nil}, "beside a rule that allows": {byRule, nil},
			"beside one that enforces": {beside, []string{
				"image-signature:verified", "image-policy:p-enforce", "image-authority:right", "image-signature-subject:right", "image-signature-issuer:https://login.example",
			}},
		} {
			got, err := demandOf("docker", nil, func(engine.Request) engine.Verdict { return row.verdict }).Verify(t.Context(), subject)
			if err != nil || !cmp.Equal(got, row.want) {
				t.Errorf("%s, %s: got %q, error %v; want %q", mode, name, got, err, row.want)
			}
		}
	}
}

// Another policy that enforces gives its selectors too.
func TestPoliciesTogether(t *testing.T) {
	one, two := allowed("enforce", "a", "certificate", proofBy(runs, "n")), allowed("enforce", "b", "notaryv1", proofBy(runs, "m"))
	two.Policy = "q"
	one.Also = []engine.Decision{two.Decision}
	got, err := demandOf("docker", nil, func(engine.Request) engine.Verdict { return one }).Verify(t.Context(), Subject{Image: "app", References: []string{reference}})
	want := []string{
		"image-signature:verified", "image-policy:p-enforce", "image-authority:a", "image-signature-subject:n", "image-signature-issuer:https://login.example",
		"image-policy:q", "image-authority:b", "image-signature-subject:m",
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
}

// A proof about another digest gives nothing, and a part of an index counts only where it is what runs.
func TestT11_ProofsOfTheDigestAlone(t *testing.T) {
	subject := Subject{Image: "app", References: []string{reference}}
	verdict := allowed("enforce", "a", "sigstore", proofBy(another, "n"))
	got, err := demandOf("docker", nil, func(engine.Request) engine.Verdict { return verdict }).Verify(t.Context(), subject)
	if err != nil || len(got) > 0 {
		t.Errorf("selectors %q, error %v", got, err)
	}
	child := allowed("enforce", "a", "sigstore", proofBy(another, "n"))
	child.Digest, child.Child = another, true
	v := demandOf("docker", nil, func(engine.Request) engine.Verdict { return child })
	if got, err := v.Verify(t.Context(), subject); status.Code(err) != codes.PermissionDenied || len(got) > 0 {
		t.Errorf("selectors %q, error %v", got, err)
	}
	subject.Content = []image.Digest{another}
	if got, err := v.Verify(t.Context(), subject); err != nil || len(got) == 0 {
		t.Errorf("selectors %q, error %v", got, err)
	}
}

// A block passes no image for which no signature is shown, whatever the verdict says.
func TestBlocksShowASignature(t *testing.T) {
	for _, v := range []engine.Verdict{
		{Allowed: true, Digest: runs, Decision: engine.Decision{Mode: "enforce", Outcome: engine.Allowed}},
		allowed("enforce", SignatureAuthority, "sigstore", proofBy(another, "n")), allowed("enforce", "other", "sigstore", proofBy(runs, "n")),
	} {
		for _, kind := range []string{"docker", "k8s"} {
			d := demandOf(kind, &SigstoreSettings{}, func(engine.Request) engine.Verdict { return v })
			if got, err := d.Verify(t.Context(), Subject{Image: "app", References: []string{reference}}); err == nil || len(got) > 0 {
				t.Errorf("%s: selectors %q, error %v", kind, got, err)
			}
		}
	}
}

// What a certificate or a log says is printed as it is, and what cannot be sent, or is not there, is left out.
func TestSelectorsOfAProof(t *testing.T) {
	p := proofBy(runs, "", "dns.example", "dev@example.com")
	p.Log = []trust.LogEntry{
		{ID: "c0d2", Index: 7, IntegratedTime: time.Unix(1765492059, 0), SignedEntryTimestamp: []byte("set")}, {ID: "ff", Index: 0},
	}
	bad := proofBy(runs, "a\xff")
	bad.Signers[0].Identity.Issuer = ""
	bad.Signers[0].Signature = nil
	verdict := allowed("enforce", SignatureAuthority, "sigstore", p, p, bad)
	block := &SigstoreSettings{}
	subject := Subject{Image: "app", References: []string{reference}}
	got, err := demandOf("docker", block, func(engine.Request) engine.Verdict { return verdict }).Verify(t.Context(), subject)
	want := []string{
		"image-signature:verified", "image-signature-subject:dns.example", "image-signature-issuer:https://login.example", "image-signature-value:AQI=",
		"image-signature-log-id:c0d2", "image-signature-log-index:7", "image-signature-integrated-time:1765492059", "image-signature-signed-entry-timestamp:c2V0",
		"image-signature-log-id:ff", "image-signature-log-index:0",
	}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
}

// What is asked is the point, the namespace and every proof.
func TestQuestions(t *testing.T) {
	var asked []engine.Request
	v := demandOf("k8s", nil, func(req engine.Request) engine.Verdict {
		asked = append(asked, req)
		return engine.Verdict{Allowed: true, Digest: runs, Decision: engine.Decision{Mode: "enforce", Outcome: engine.Allowed}}
	})
	s := Subject{Image: "docker-pullable://" + reference, Namespace: "shop", HasNamespace: true, NamespaceLabels: map[string]string{"a": "b"}}
	if _, err := v.Verify(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	want := engine.Request{Image: reference, Every: true}
	want.Point, want.Namespace, want.HasNamespace, want.NamespaceLabels = "spire", "shop", true, s.NamespaceLabels
	if len(asked) != 1 || !cmp.Equal(asked[0].Request, want.Request) || asked[0].Image != want.Image || !asked[0].Every {
		t.Errorf("asked %+v, want %+v", asked, want)
	}
}

// Whoever has left gets no answer that could be taken for one.
func TestVerifyEndsWithItsCaller(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	v := demandOf("docker", nil, func(engine.Request) engine.Verdict { cancel(); return engine.Verdict{} })
	if got, err := v.Verify(ctx, Subject{Image: "app", References: []string{reference}}); len(got) > 0 || err == nil || status.Code(told(err, ctx.Err())) != codes.Canceled {
		t.Errorf("selectors %q, error %v", got, err)
	}
}

// What cannot even be asked about passes only where nothing is stopped, and a block stops everything.
func TestUnaskableImages(t *testing.T) {
	never := func(engine.Request) engine.Verdict { t.Error("asked"); return engine.Verdict{} }
	for _, lenient := range []bool{false, true} {
		with := func(c *DemandConfig) { c.Lenient = func(engine.Request) bool { return lenient } }
		for kind, s := range map[string]Subject{"docker": {Image: "app"}, "k8s": {Image: "sha256:" + strings.Repeat("A", 64)}} {
			if got, err := demandOf(kind, nil, never, with).Verify(t.Context(), s); (err == nil) != lenient || len(got) > 0 {
				t.Errorf("%s, lenient %v: selectors %q, error %v", kind, lenient, got, err)
			}
			if _, err := demandOf(kind, &SigstoreSettings{}, never, with).Verify(t.Context(), s); err == nil {
				t.Errorf("%s: a block lets it pass", kind)
			}
		}
	}
}

// Only what looks like a hash is one.
func TestImageIDs(t *testing.T) {
	hex := strings.Repeat("0aF", 22)[:64]
	for id, want := range map[string]string{
		"docker-pullable://r/x@sha256:" + hex: "r/x@sha256:" + hex, "r/x:1": "r/x:1", "docker://r/x@sha256:" + hex: "r/x@sha256:" + hex,
		"sha256:" + hex: "", "SHA256:" + hex: "", hex: "", "docker://sha256:" + hex: "", "docker://" + hex: "", "": "", "docker://": "",
		hex[1:]: hex[1:],
	} {
		if got, err := ofImageID(id); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, error %v; want %q", id, got, err, want)
		}
	}
}

func FuzzImageIDs(f *testing.F) {
	for _, s := range []string{"docker-pullable://r/x@sha256:00", "sha256:00", "", strings.Repeat("a", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		reference, err := ofImageID(id)
		if err == nil && (reference == "" || isHash(reference) || isHash(strings.TrimPrefix(reference, "sha256:"))) {
			t.Errorf("%q is %q", id, reference)
		}
	})
}

// What was counted has few names and values.
func TestVerdictsAreCounted(t *testing.T) {
	var counted meterFunc
	var got []string
	counted = func(name string, labels ...string) { got = append(got, name+" "+strings.Join(labels, " ")) }
	v := demandOf("docker", nil, func(engine.Request) engine.Verdict { return allowed("enforce", "a", "certificate", proofBy(runs, "n")) }, func(c *DemandConfig) { c.Meter = counted })
	if _, err := v.Verify(t.Context(), Subject{Image: "app", References: []string{reference}}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"verdicts attestor docker verdict allowed cached false"}; !slices.Equal(got, want) {
		t.Errorf("counted %q, want %q", got, want)
	}
}

type meterFunc func(string, ...string)

func (f meterFunc) Count(name string, labels ...string) { f(name, labels...) }
