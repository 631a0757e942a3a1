package sigstore

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

// row shows that one field of the policy is enforced on one path: with it and the evidence that it asks for there is a proof, and
// flipping what the field is about, and nothing else, ends that.
type row struct {
	config   Config
	files    map[string][]byte
	policy   func(o *Options) // what the field needs, beside the strict policy for the path
	evidence func(s *signing) // what it asks for
	more     []signing        // further evidence
	flip     func(w *weighed) // makes the negative
	want     string           // in its refusal
	unclear  bool             // it is a "cannot tell"
	now      time.Time
	noProof  string // why there is no positive here
	refused  string // the field cannot be enforced on this path: in the error at load
}

// weighed is a policy with its evidence.
type weighed struct {
	route
	config  Config
	files   map[string][]byte
	options Options
	signing signing
	more    []signing
	now     time.Time
}

// TestT4_T15_Matrix shows every field of the policy on every path. A field without a row fails the test.
func TestT4_T15_Matrix(t *testing.T) {
	rows := map[string]func(t *testing.T, p route) row{}
	for _, some := range []map[string]func(*testing.T, route) row{signatureRows(), signerRows(), materialRows(), attestationRows()} {
		for name, r := range some {
			if rows[name] != nil {
				t.Errorf("%s has two rows", name)
			}
			rows[name] = r
		}
	}
	wanted := fieldsOf(reflect.TypeFor[Options](), map[reflect.Type]bool{})
	for name := range rows {
		if !slices.Contains(wanted, name) {
			t.Errorf("%s has a row, and there is no such field", name)
		}
	}
	for _, name := range wanted {
		if rows[name] == nil {
			t.Errorf("%s has no row: a field that is not shown to be enforced on every path", name)
			continue
		}
		for way, p := range routes() {
			t.Run(name+"/"+way, func(t *testing.T) { rows[name](t, p).run(t, p) })
		}
	}
}

// fieldsOf lists the fields below a type that a policy can fill in, by type and name. A field whose type stands in another field too, as
// in signedBy, is one of its own: that one place is enforced says nothing of the other.
func fieldsOf(of reflect.Type, seen map[reflect.Type]bool) []string {
	seen[of] = true
	var all []string
	for i := range of.NumField() {
		f := of.Field(i)
		inner := f.Type
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[time.Time]() && !seen[inner] {
			all = append(all, fieldsOf(inner, seen)...)
			continue
		}
		all = append(all, of.Name()+"."+f.Name)
	}
	return all
}

func (r row) run(t *testing.T, p route) {
	w := &weighed{route: p, config: r.config, files: r.files, options: home().keyless(p.demand), signing: signing{shape: p.shape, by: everyone()}, more: r.more, now: now}
	if !r.now.IsZero() {
		w.now = r.now
	}
	if r.policy != nil {
		r.policy(&w.options)
	}
	if r.evidence != nil {
		r.evidence(&w.signing)
	}
	if r.refused != "" {
		_, err := New(w.config).New(trusttest.Section{Options: w.options, Files: w.files})
		if err == nil || !strings.Contains(err.Error(), r.refused) {
			t.Fatalf("error = %v, want one at load with %q", err, r.refused)
		}
		return
	}
	proofs, err := w.decide(t)
	if r.noProof == "" {
		expect(t, proofs, err, "")
	} else if len(proofs) > 0 {
		t.Errorf("proved, although %s", r.noProof)
	}
	w.config, w.options = r.config, deepCopy(w.options)
	r.flip(w)
	proofs, err = w.decide(t)
	if r.unclear {
		wantUnclear(t, proofs, err, r.want)
		return
	}
	wantNo(t, proofs, err, r.want)
}

// decide publishes, finds and checks.
func (w *weighed) decide(t *testing.T) ([]trust.Proof, error) {
	t.Helper()
	a, err := New(w.config).New(trusttest.Section{Options: w.options, Files: w.files})
	if err != nil {
		t.Fatal(err)
	}
	var src trusttest.Source
	publish(t, &src, app, home().sign(app, w.signing))
	for _, s := range w.more {
		publish(t, &src, app, home().sign(app, s))
	}
	ev, err := a.Find(t.Context(), &src, app)
	if err != nil {
		return nil, err
	}
	return a.Check(app, ev, w.now)
}

// deepCopy spares the options of one half of a row what the other half changes.
func deepCopy(o Options) Options {
	if o.Keyless != nil {
		o.Keyless = &KeylessOptions{Identities: slices.Clone(o.Keyless.Identities)}
	}
	if o.Key != nil {
		k := *o.Key
		o.Key = &k
	}
	if o.PKI != nil {
		p := *o.PKI
		p.Names = slices.Clone(p.Names)
		o.PKI = &p
	}
	if o.TrustedRoot != nil {
		r := *o.TrustedRoot
		o.TrustedRoot = &r
		if r.Parts != nil {
			p := *r.Parts
			r.Parts = &p
		}
	}
	o.Annotations = maps.Clone(o.Annotations)
	o.Attestations = slices.Clone(o.Attestations)
	return o
}

// claimNumbers are the numbers of Fulcio's extensions (docs/oid-info.md) by the fields of ClaimsOptions.
func claimNumbers() map[string]int {
	return map[string]int{
		"BuildSignerURI": 9, "BuildSignerDigest": 10, "RunnerEnvironment": 11, "SourceRepositoryURI": 12, "SourceRepositoryDigest": 13,
		"SourceRepositoryRef": 14, "SourceRepositoryIdentifier": 15, "SourceRepositoryOwnerURI": 16, "SourceRepositoryOwnerIdentifier": 17,
		"BuildConfigURI": 18, "BuildConfigDigest": 19, "BuildTrigger": 20, "RunInvocationURI": 21, "SourceRepositoryVisibilityAtSigning": 22,
		"GitHubWorkflowTrigger": 2, "GitHubWorkflowSHA": 3, "GitHubWorkflowName": 4, "GitHubWorkflowRepository": 5, "GitHubWorkflowRef": 6,
	}
}

func allClaims() map[int]string {
	all := map[int]string{}
	for _, n := range claimNumbers() {
		all[n] = fmt.Sprintf("claim %d", n)
	}
	return all
}

// everyone is the identity that tests sign with, with all claims and the word of two certificate logs.
func everyone() *signer { return home().person(leaf{claims: allClaims(), scts: home().ct}) }
