package engine_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust"
)

// countedFormat counts how often an authority is made; its authorities trust nobody.
type countedFormat struct{ made atomic.Int64 }

type countedAuthority struct{}

func (f *countedFormat) Name() string { return "counted" }
func (f *countedFormat) Options() any { return new(struct{ Key string }) }
func (f *countedFormat) New(s trust.Section) (trust.Authority, error) {
	var o struct {
		Key string `yaml:"key"`
	}
	if err := s.Decode(&o); err != nil {
		return nil, err
	}
	if o.Key == "bad" {
		return nil, s.Errorf("key", "is no key")
	}
	f.made.Add(1)
	return countedAuthority{}, nil
}

func (countedAuthority) Find(context.Context, trust.Source, image.Ref) (trust.Evidence, error) {
	return trust.Evidence{}, trust.ErrUnsigned
}

func (countedAuthority) Check(image.Ref, trust.Evidence, time.Time) ([]trust.Proof, error) {
	return nil, trust.ErrUnsigned
}

func counted(t *testing.T, name, key string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse(policy.Source{Name: name + ".yaml", Data: []byte("apiVersion: assay.dev/v1\nkind: TrustPolicy\nmetadata: {name: " + name +
		"}\nspec:\n  authorities: {ci: {counted: {key: " + key + "}}}\n  rules: [{images: [\"**\"], require: ci}]\n")}, []string{"counted"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What an authority remembers (which signatures it checked) is lost when it is made anew, so that one edit must not have all others made anew.
func TestUseKeepsAuthoritiesOfUnchangedPolicies(t *testing.T) {
	f := &countedFormat{}
	w := newWorld(t)
	e, err := engine.New(engine.Config{Formats: []trust.Format{f}, Source: w.client, Tags: w.client, Policies: []*policy.Policy{counted(t, "a", "one"), counted(t, "b", "one")}})
	if err != nil {
		t.Fatal(err)
	}
	made := f.made.Load()
	same := counted(t, "a", "one")
	before := engine.AuthorityOf(e, "a", "ci")
	if err := e.Use([]*policy.Policy{same, counted(t, "b", "two"), counted(t, "c", "one")}); err != nil {
		t.Fatal(err)
	}
	if engine.AuthorityOf(e, "a", "ci") != before {
		t.Error("the authority of a policy that did not change was made anew")
	}
	other := engine.AuthorityOf(e, "b", "ci")
	if err := e.Use([]*policy.Policy{counted(t, "b", "three")}); err != nil {
		t.Fatal(err)
	}
	if engine.AuthorityOf(e, "b", "ci") == other {
		t.Error("the authority of a policy that changed is the old one")
	}
	if engine.AuthorityOf(e, "a", "ci") != nil {
		t.Error("a policy that was taken out is still there")
	}
	// The same document in memory is not even compiled again.
	p := counted(t, "d", "one")
	if err := e.Use([]*policy.Policy{p}); err != nil {
		t.Fatal(err)
	}
	made = f.made.Load()
	if err := e.Use([]*policy.Policy{p}); err != nil {
		t.Fatal(err)
	}
	if got := f.made.Load(); got != made {
		t.Errorf("%d authorities were made for a policy that is in force", got-made)
	}
}

func TestCheckPutsNothingInForce(t *testing.T) {
	w := newWorld(t)
	e, err := engine.New(engine.Config{Formats: []trust.Format{&countedFormat{}}, Source: w.client, Tags: w.client, Policies: []*policy.Policy{counted(t, "a", "one")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Check(counted(t, "a", "two")); err != nil { // the name is not taken: it would be the same policy
		t.Error(err)
	}
	var one policy.Error
	if err := e.Check(counted(t, "b", "bad")); !errors.As(err, &one) || one.Path != "spec.authorities.ci.counted.key" {
		t.Errorf("got %v", err)
	}
	if engine.AuthorityOf(e, "b", "ci") != nil {
		t.Error("it is in force")
	}
}
