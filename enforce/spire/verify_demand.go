package spire

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
)

// Point is the name of this enforcement point, as policies know it.
const Point = "spire"

// The authorities of the policy that stands for a sigstore block. Each is one demand, so that a refusal can say which was not met.
const (
	SignatureAuthority   = "signature"
	AttestationAuthority = "attestation"
)

// DemandConfig is what a Verifier decides with.
type DemandConfig struct {
	Kind     string            // of the attestor: "docker" or "k8s"
	Sigstore *SigstoreSettings // nil: a policy of the operator's is obeyed
	Point    *enforce.Point    // whose engine obeys that policy, or the one that stands for Sigstore
	// Lenient reports whether no policy would stop anything of a request: then what cannot even be asked about passes too. nil: it does not.
	Lenient func(engine.Request) bool
	Log     *slog.Logger
	Meter   Meter  // nil: nobody counts
	Close   func() // lets go of what is behind Point; nil: nothing is
}

// NewDemand makes the Verifier that asks for proofs.
func NewDemand(c DemandConfig) Verifier {
	d := &demanded{DemandConfig: c}
	if c.Sigstore != nil {
		d.skip = newSkipList(c.Sigstore.SkippedImages)
	}
	return d
}

// demanded is a demand for proofs.
type demanded struct {
	DemandConfig
	skip skipList
}

var _ Verifier = (*demanded)(nil)

// Close implements Verifier.
func (d *demanded) Close() {
	if d.DemandConfig.Close != nil {
		d.DemandConfig.Close()
	}
}

// old reports whether selectors and texts are those of the old keys.
func (d *demanded) old() bool { return d.Sigstore != nil && d.Sigstore.Old }

// Verify implements Verifier. The first reference for which there is a proof is the one that counts.
func (d *demanded) Verify(ctx context.Context, s Subject) ([]string, error) {
	references, err := d.references(&s)
	if d.skip.has(&s, references, d.Kind) {
		d.count(enforce.Yes, "skipped", "true")
		if d.old() {
			return []string{oldPassed}, nil
		}
		return nil, nil
	}
	if err == nil && d.old() && len(d.Sigstore.Identities) == 0 {
		err = errors.New("nobody's signature counts, for allowed_subjects_list names nobody")
	}
	if err != nil {
		d.count(enforce.No)
		d.Log.Warn("image is not vouched for", "image", enforce.Plain(s.Image), "meaning", enforce.No.String(), "error", enforce.Plain(err.Error()))
		if d.lenient(&s) {
			return nil, nil
		}
		return nil, d.refuse(enforce.No, &s, err.Error())
	}
	var misses misses
	var lenient bool
	for _, reference := range references {
		v := d.decide(ctx, &s, reference)
		miss := d.missed(&s, reference, &v)
		if miss == nil {
			return d.selectors(&s, &v), nil
		}
		// A policy that only warns or audits lets the image pass, and proves nothing. Another reference may still do so.
		lenient = lenient || miss.meaning == enforce.Yes
		misses = append(misses, *miss)
	}
	if lenient || misses.meaning() != enforce.Bug && d.lenient(&s) {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return nil, d.refuse(misses.meaning(), &s, misses.text(d.Kind == "k8s" && d.Sigstore != nil))
}

// request is the question about one reference. Everything that is proved is asked for: which selectors there are must not hang on what was
// found first.
func request(s *Subject, reference string) engine.Request {
	req := engine.Request{Image: reference, Every: true}
	req.Point, req.Namespace, req.NamespaceLabels, req.HasNamespace = Point, s.Namespace, s.NamespaceLabels, s.HasNamespace
	return req
}

// lenient reports whether an image passes that cannot be asked about.
func (d *demanded) lenient(s *Subject) bool {
	return d.Sigstore == nil && d.Lenient != nil && d.Lenient(request(s, ""))
}

// decide asks about one reference.
func (d *demanded) decide(ctx context.Context, s *Subject, reference string) engine.Verdict {
	req := request(s, reference)
	return d.Point.DecideFor(ctx, &enforce.Occasion{Operation: "attest", Kind: d.Kind, Name: s.ContainerID}, req)[0]
}

// miss is why a reference proves nothing.
type miss struct {
	reference string
	meaning   enforce.Meaning // Yes: the image may run all the same
	reason    string
}

// missed returns why a verdict proves nothing; nil: it vouches, or allows by a rule.
func (d *demanded) missed(s *Subject, reference string, v *engine.Verdict) *miss {
	m := &miss{reference: reference, meaning: enforce.Of(v)}
	switch {
	case v.Allowed && v.Outcome == engine.Allowed && v.Child && !slices.Contains(s.Content, v.Digest):
		m.meaning = enforce.No
		m.reason = fmt.Sprintf("only %s is vouched for, which is a part of it, and nothing says that it is the one that runs", v.Digest)
	case v.Allowed && v.Outcome == engine.Allowed && d.Sigstore != nil && len(proved(&v.Decision, v, SignatureAuthority)) == 0:
		m.meaning, m.reason = enforce.Bug, "nobody is named whose signature counts"
	case v.Allowed && v.Outcome == engine.Allowed:
		d.count(enforce.Yes, "cached", fmt.Sprint(v.Cached))
		if !v.Cached {
			d.tell(slog.LevelInfo, "image is vouched for", s, reference, v, v.Reason)
		}
		return nil
	default:
		m.reason = d.reason(reference, v)
	}
	d.count(m.meaning, "cached", fmt.Sprint(v.Cached))
	text := "image is not vouched for"
	if m.meaning == enforce.Yes {
		text = "image is not vouched for, and passes without selectors"
	}
	d.tell(slog.LevelWarn, text, s, reference, v, m.reason)
	return m
}

func (d *demanded) tell(level slog.Level, text string, s *Subject, reference string, v *engine.Verdict, reason string) {
	for _, a := range v.Authorities {
		if a.Missed != "" && level == slog.LevelInfo {
			level, reason = slog.LevelWarn, "not everything could be looked at: "+a.Missed
		}
	}
	d.Log.LogAttrs(context.Background(), level, text,
		slog.String("image", enforce.Plain(s.Image)), slog.String("image_id", enforce.Plain(reference)), slog.String("meaning", enforce.Of(v).String()),
		slog.String("outcome", v.Outcome.String()), slog.String("policy", v.Policy), slog.String("mode", v.Mode), slog.String("rule", v.Rule),
		slog.String("digest", v.Digest.String()), slog.Bool("cached", v.Cached), slog.String("error", enforce.Plain(reason)))
}

func (d *demanded) count(m enforce.Meaning, labels ...string) {
	if d.Meter != nil {
		d.Meter.Count("verdicts", append([]string{"attestor", d.Kind, "verdict", m.String()}, labels...)...)
	}
}

// reason puts the words of a verdict into those that are known of each demand.
func (d *demanded) reason(reference string, v *engine.Verdict) string {
	switch {
	case errors.Is(v.Err(), engine.ErrNamespaceLabels) && d.Kind == "k8s":
		return v.Reason + "; enable_namespace_labels = true asks the API server for them"
	case d.Sigstore == nil || v.Outcome == engine.Bug:
		return v.Reason
	}
	for _, a := range v.Authorities {
		switch {
		case a.Standing == engine.Proved || a.Standing == engine.Unasked:
		case a.Authority == AttestationAuthority:
			hint := ""
			if a.Standing != engine.Unclear {
				hint = "; ignore_attestations = true asks for none"
			}
			return "failed to verify image attestations: " + a.Reason + hint
		case a.Standing != engine.Unclear && strings.Contains(a.Reason, "transparency log"):
			return "rekor bundle not verified for image: " + reference + ": " + a.Reason + ignoring(d.Sigstore)
		case strings.Contains(a.Reason, "no trusted time says when it was used"):
			return "failed to verify signatures: " + a.Reason + "; where the log is ignored, signatures by short-lived certificates need a time stamp (RFC 3161)"
		default:
			return "failed to verify signatures: " + a.Reason
		}
	}
	if v.Policy == "" && v.Outcome == engine.Denied {
		return "failed to parse image reference: " + v.Reason
	}
	return v.Reason
}

// ignoring is the way out where no log has seen a signature; the old keys have none.
func ignoring(s *SigstoreSettings) string {
	if s.Old {
		return ""
	}
	return "; ignore_tlog = true asks for no log"
}

// misses are why none of several references proves anything.
type misses []miss

// meaning is that of all together. Any of the references would have sufficed: as long as one could not be told, asking again may help.
func (all misses) meaning() enforce.Meaning {
	found := enforce.No
	for _, m := range all {
		switch {
		case m.meaning == enforce.Bug:
			return enforce.Bug
		case m.meaning == enforce.CannotTell:
			found = enforce.CannotTell
		}
	}
	return found
}

// text says it; alone names no reference, where there is one only and the text before it names the image.
func (all misses) text(alone bool) string {
	texts := make([]string, len(all))
	for i, m := range all {
		reason := m.reason
		if m.meaning == enforce.CannotTell {
			reason = tryAgain + reason
		}
		texts[i] = "image_id " + m.reference + ": " + reason
		if alone {
			texts[i] = reason
		}
	}
	return strings.Join(texts, "; ")
}

// refuse says why an image does not pass, in the words and the code that programs know.
func (d *demanded) refuse(m enforce.Meaning, s *Subject, reason string) error {
	if m == enforce.Yes {
		m = enforce.No
	}
	code := codes.PermissionDenied
	switch {
	case d.Kind == "k8s" && d.Sigstore != nil, m == enforce.Bug:
		code = codes.Internal
	case m == enforce.CannotTell:
		code = codes.Unavailable
	}
	return Refuse(m, code, enforce.Plain(d.words(s, reason)))
}

func (d *demanded) words(s *Subject, reason string) string {
	none := strings.HasPrefix(reason, noDigests)
	switch {
	case d.old():
		return "error retrieving signature payload: " + reason
	case d.Kind == "k8s" && d.Sigstore != nil:
		return "error verifying sigstore image signature for imageID " + s.Image + ": " + reason
	case d.Sigstore != nil && none:
		return "sigstore signature verification failed: " + reason
	case d.Sigstore != nil:
		return "sigstore signature verification failed for image " + s.Image + ": errors: " + reason
	case none:
		return "policy verification failed: " + reason
	}
	return "policy verification failed for image " + s.Image + ": errors: " + reason
}

const noDigests = "no repo digest found for image "

// encoded writes bytes as selectors have them.
func encoded(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
