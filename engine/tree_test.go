package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// scripted is a format whose authorities answer what their section says: for what no real format can be made to do.
type scripted struct{}

type script struct {
	Answer  string   `yaml:"answer"`
	Signers []string `yaml:"signers,omitempty"` // "a", "name/a" with an identity, or "a+b" for a proof that needs both; each entry is one proof
	Digest  string   `yaml:"digest,omitempty"`  // of the proof, if it is another than the one asked about
}

func (scripted) Name() string { return "scripted" }
func (scripted) Options() any { return &script{} }
func (scripted) New(s trust.Section) (trust.Authority, error) {
	a := &actor{}
	return a, s.Decode(&a.script)
}

type actor struct{ script }

var errOutage = errors.New("the log is down")

func (a *actor) Find(context.Context, trust.Source, image.Ref) (trust.Evidence, error) {
	switch a.Answer {
	case "unsigned":
		return trust.Evidence{}, trust.ErrUnsigned
	case "outage":
		return trust.Evidence{}, errOutage
	case "mixed":
		return trust.Evidence{}, errors.Join(trust.ErrUnsigned, errOutage)
	case "panic in find":
		panic("find")
	}
	return trust.Evidence{}, nil
}

func (a *actor) Check(ref image.Ref, _ trust.Evidence, now time.Time) ([]trust.Proof, error) {
	switch a.Answer {
	case "untrusted":
		return nil, trust.Untrusted("signed by mallory")
	case "stale list":
		return nil, errOutage
	case "nothing":
		return nil, nil
	case "panic in check":
		panic("check")
	case "expired proof":
		return []trust.Proof{{Digest: ref.Digest(), Signers: []trust.Signer{{Key: "k"}}, Expires: now}}, nil
	case "nobody":
		return []trust.Proof{{Digest: ref.Digest()}}, nil
	case "zero proof":
		return []trust.Proof{{}}, nil
	}
	digest := ref.Digest()
	if a.Digest != "" {
		digest = image.MustParseDigest(a.Digest)
	}
	var proofs []trust.Proof
	for _, names := range a.Signers {
		p := trust.Proof{Digest: digest}
		for _, name := range strings.Split(names, "+") {
			signer := trust.Signer{Key: name}
			if subject, key, found := strings.Cut(name, "/"); found {
				signer = trust.Signer{Key: key, Identity: trust.Identity{Issuer: "provider", Subject: subject}}
			}
			p.Signers = append(p.Signers, signer)
		}
		proofs = append(proofs, p)
	}
	return proofs, nil
}

// noRegistry fails every question that a scripted test must not ask.
type noRegistry struct{ trust.Source }

func (noRegistry) Resolve(context.Context, image.Ref) (trust.Descriptor, error) {
	return trust.Descriptor{}, errOutage
}

const fixedDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000001"

func scriptedEngine(t testing.TB, specs ...string) *engine.Engine {
	t.Helper()
	var policies []*policy.Policy
	for i, spec := range specs {
		data := fmt.Sprintf("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p%d}\nspec:\n%s", i, spec)
		p, err := policy.Parse(policy.Source{Name: "p.yaml", Data: []byte(data)}, []string{"scripted"})
		if err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		policies = append(policies, p)
	}
	e, err := engine.New(engine.Config{Policies: policies, Formats: []trust.Format{scripted{}}, Source: noRegistry{}, Tags: noRegistry{}})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const cast = `
  authorities:
    alice: {scripted: {signers: [a]}}
    alice2: {scripted: {signers: [a]}}
    bob: {scripted: {signers: [b]}}
    both: {scripted: {signers: [a, b]}}
    joint: {scripted: {signers: [a+b]}}
    mail: {scripted: {signers: [dev@acme/c]}}
    page: {scripted: {signers: [page@acme/c]}}
    mailAgain: {scripted: {signers: [dev@acme/d]}}
    bareKey: {scripted: {signers: [c]}}
    unsigned: {scripted: {answer: unsigned}}
    untrusted: {scripted: {answer: untrusted}}
    outage: {scripted: {answer: outage}}
    stale: {scripted: {answer: stale list}}
    mixed: {scripted: {answer: mixed}}
    nothing: {scripted: {answer: nothing}}
    expired: {scripted: {answer: expired proof}}
    nobody: {scripted: {answer: nobody}}
    zero: {scripted: {answer: zero proof}}
    foreign: {scripted: {signers: [a], digest: "sha256:0000000000000000000000000000000000000000000000000000000000000002"}}
    find: {scripted: {answer: panic in find}}
    check: {scripted: {answer: panic in check}}
  rules:
  - images: ["**"]
    require: `

func TestRequirements(t *testing.T) {
	rows := []struct {
		require string
		want    engine.Outcome
	}{
		{"alice", engine.Allowed},
		{"unsigned", engine.Denied},
		{"untrusted", engine.Denied},
		{"outage", engine.CouldNotTell},
		{"stale", engine.CouldNotTell},
		{"[alice, bob]", engine.Allowed},
		{"[alice, unsigned]", engine.Denied},
		{"[alice, outage]", engine.CouldNotTell},
		{"[unsigned, outage]", engine.Denied},
		{"{any: [unsigned, alice]}", engine.Allowed},
		{"{any: [outage, alice]}", engine.Allowed},
		{"{any: [outage, unsigned]}", engine.CouldNotTell},
		{"{any: [untrusted, unsigned]}", engine.Denied},
		{"{all: [alice, {any: [unsigned, bob]}]}", engine.Allowed},
		{"{atLeast: 2, of: [alice, bob, unsigned]}", engine.Allowed},
		{"{atLeast: 2, of: [alice, unsigned, outage]}", engine.CouldNotTell},
		{"{atLeast: 2, of: [alice, unsigned, untrusted]}", engine.Denied},
		// T5: what formats must not answer is never taken for a yes.
		{"mixed", engine.CouldNotTell},
		{"nothing", engine.Denied},
		{"expired", engine.Denied},
		{"nobody", engine.Denied},
		{"zero", engine.Denied},
		{"foreign", engine.Denied},
		// T47: a panic denies and is told apart.
		{"find", engine.Bug},
		{"check", engine.Bug},
		{"{any: [find, alice]}", engine.Allowed},
		// T9: a threshold counts signers, not authorities. Without a threshold, one signer may speak for several.
		{"[alice, alice2]", engine.Allowed},
		{"{atLeast: 2, of: [alice, alice2]}", engine.Denied},
		{"{atLeast: 2, of: [alice, alice2, bob]}", engine.Allowed},
		{"{atLeast: 2, of: [alice, both]}", engine.Allowed},
		{"{atLeast: 2, of: [both, alice]}", engine.Allowed},
		{"{atLeast: 2, of: [joint, alice]}", engine.Denied},
		{"{atLeast: 3, of: [alice, bob, both]}", engine.Denied},
		{"{atLeast: 2, of: [mail, page]}", engine.Denied}, // one key with two names
		{"{atLeast: 2, of: [mail, bareKey]}", engine.Denied},
		{"{atLeast: 2, of: [mail, mailAgain]}", engine.Denied},
		{"{atLeast: 2, of: [page, mailAgain]}", engine.Allowed},
		{"{atLeast: 2, of: [alice, alice2, outage]}", engine.CouldNotTell},
		{"{atLeast: 2, of: [alice, {any: [alice2, bob]}]}", engine.Allowed},
		{"{atLeast: 2, of: [alice, {all: [alice2, bob]}]}", engine.Denied},
		{"{atLeast: 2, of: [alice, {any: [alice2, outage]}]}", engine.CouldNotTell},
		{"{atLeast: 2, of: [{atLeast: 1, of: [alice, bob]}, alice2]}", engine.Allowed},
	}
	for _, row := range rows {
		t.Run("T5 T9 T47 "+row.require, func(t *testing.T) {
			e := scriptedEngine(t, cast+row.require+"\n")
			for _, round := range []string{"cold", "warm"} {
				v := e.Decide(context.Background(), request("registry.example/app@"+fixedDigest))
				if v.Outcome != row.want || v.Allowed != (row.want == engine.Allowed) {
					t.Errorf("%s: got %s (%s), want %s", round, v.Outcome, v.Reason, row.want)
				}
				if (v.Err() != nil) != (row.want == engine.CouldNotTell || row.want == engine.Bug) {
					t.Errorf("%s: error: got %v", round, v.Err())
				}
			}
		})
	}
}

func request(name string) engine.Request {
	return engine.Request{Image: name, Request: policy.Request{Point: "cli"}}
}

// T9: the search for different signers is bounded; where it gives up, it denies.
func TestT9_ThresholdsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n  authorities:\n")
	var names []string
	for i := range 40 {
		// 40 authorities, but only 19 signers, each able to stand for many of them.
		var signers []string
		for j := range 19 {
			signers = append(signers, fmt.Sprintf("s%d", (i+j)%19))
		}
		name := fmt.Sprintf("a%d", i)
		fmt.Fprintf(&b, "    %s: {scripted: {signers: [%s]}}\n", name, strings.Join(signers, ", "))
		names = append(names, name)
	}
	fmt.Fprintf(&b, "  rules:\n  - images: [\"**\"]\n    require: {atLeast: 20, of: [%s]}\n", strings.Join(names, ", "))
	e := scriptedEngine(t, b.String())
	if v := e.Decide(context.Background(), request("registry.example/app@"+fixedDigest)); v.Allowed {
		t.Error("19 signers satisfied a threshold of 20")
	}
}

// Several policies: all in scope must allow, one must have an opinion, and what warns or audits stops nothing.
func TestSeveralPolicies(t *testing.T) {
	allow := "  rules:\n  - {images: [\"**\"], allow: yes indeed}\n"
	deny := "  rules:\n  - {images: [\"**\"], deny: never}\n"
	silent := "  unmatched: ignore\n  rules:\n  - {images: [\"other.example/**\"], deny: never}\n"
	rows := []struct {
		name     string
		policies []string
		allowed  bool
		outcome  engine.Outcome
	}{
		{"no policy", nil, false, engine.Denied},
		{"one allows", []string{allow}, true, engine.Allowed},
		{"one has no opinion", []string{silent}, false, engine.Denied},
		{"one allows, one has no opinion", []string{allow, silent}, true, engine.Allowed},
		{"T38 a second policy only tightens", []string{allow, deny}, false, engine.Denied},
		{"T38 in either order", []string{deny, allow}, false, engine.Denied},
		{"a policy that warns stops nothing", []string{"  mode: warn\n" + deny}, true, engine.Denied},
		{"a policy that audits stops nothing", []string{allow, "  mode: audit\n" + deny}, true, engine.Denied},
		{"a policy that enforces stops what another only warns of", []string{"  mode: warn\n" + deny, deny}, false, engine.Denied},
		{"could not tell beside allowed", []string{allow, cast + "outage\n"}, false, engine.CouldNotTell},
		{"denied beside could not tell", []string{cast + "outage\n", deny}, false, engine.Denied},
		{"other point", []string{"  scope: {points: [docker]}\n" + allow}, false, engine.Denied},
		{"namespaces without a namespace", []string{"  scope: {namespaces: {names: [\"*\"]}}\n" + allow}, false, engine.Denied},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			e := scriptedEngine(t, row.policies...)
			v := e.Decide(context.Background(), request("registry.example/app@"+fixedDigest))
			if v.Allowed != row.allowed || v.Outcome != row.outcome {
				t.Errorf("got %s, allowed %v (%s); want %s, %v", v.Outcome, v.Allowed, v.Reason, row.outcome, row.allowed)
			}
		})
	}
}

// Two policies of one name would make verdicts ambiguous.
func TestPolicyNamesAreUnique(t *testing.T) {
	data := "apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: p}\nspec: {rules: [{images: [\"**\"], deny: never}]}\n"
	var policies []*policy.Policy
	for _, name := range []string{"a.yaml", "b.yaml"} {
		p, err := policy.Parse(policy.Source{Name: name, Data: []byte(data)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		policies = append(policies, p)
	}
	_, err := engine.New(engine.Config{Policies: policies, Source: noRegistry{}, Tags: noRegistry{}})
	if err == nil || !strings.Contains(err.Error(), `b.yaml: policy "p" has the name of the one in a.yaml`) {
		t.Errorf("got %v", err)
	}
}
