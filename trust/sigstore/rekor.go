package sigstore

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

const (
	// annotationLooked is where an entry that was looked up is kept in an item. It never comes from a registry.
	annotationLooked = "assay.dev/log-entry"
	// typeUnreadable is the type of an item that says why there is none.
	typeUnreadable = "text/plain"

	lookupTimeout = 10 * time.Second
	maxLookup     = 1 << 20 // bytes of a log's answer
)

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// withoutLookedUp returns annotations without the one in which this package keeps what it looked up.
func withoutLookedUp(annotations map[string]string) map[string]string {
	if _, forged := annotations[annotationLooked]; !forged {
		return annotations
	}
	clean := maps.Clone(annotations)
	delete(clean, annotationLooked)
	return clean
}

// lookUpAll asks the policy's log for the entries of signatures that carry none, once what there is does not suffice. Copies of one
// signature are asked for once. A log that fails means that it could not be told, unless another entry makes the evidence suffice.
func (s *search) lookUpAll(ctx context.Context) error {
	asked := map[[sha256.Size]byte]bool{}
	var failed error
	for i := range s.evidence.Items {
		found, err := s.lookUp(ctx, s.evidence.Items[i], asked)
		switch {
		case err != nil:
			failed = err
			continue
		case found == nil:
			continue
		}
		s.evidence.Items = slices.Clone(s.evidence.Items)
		s.evidence.Items[i] = *found
		if s.enough(s.evidence) {
			return nil
		}
	}
	if failed == nil || s.exhaustive() {
		return failed
	}
	if _, err := s.Check(s.ref, s.evidence, time.Now()); err == nil {
		return nil // what could not be looked up is not needed
	}
	return failed
}

// lookUp asks the log about one item, if it is about the image and by somebody who may count: what anybody pushed must not make us ask.
func (s *search) lookUp(ctx context.Context, item trust.Item, asked map[[sha256.Size]byte]bool) (*trust.Item, error) {
	p, err := s.decoded(outcomeKey{item: sum(&item)}, &item)
	if err != nil || len(p.entries) > 0 {
		return nil, nil
	}
	name := sha256.Sum256(p.content.Signature())
	if _, err := p.about(s.ref); err != nil || asked[name] {
		return nil, nil
	}
	signer := s.plausibleSigner(p)
	if signer == nil {
		return nil, nil
	}
	asked[name] = true
	proposed, err := proposalFor(p, signer)
	if err != nil {
		return nil, err
	}
	entry, err := s.askLog(ctx, proposed)
	if err != nil || entry == nil {
		return nil, err
	}
	found, err := protojson.Marshal(entry)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", s.rekorURL, err)
	}
	item.Annotations = maps.Clone(item.Annotations)
	if item.Annotations == nil {
		item.Annotations = map[string]string{}
	}
	item.Annotations[annotationLooked] = string(found)
	return &item, nil
}

// plausibleSigner returns the certificate or key, in PEM, of a piece that may be by somebody who counts; nil if it is not.
func (s *search) plausibleSigner(p *piece) []byte {
	for _, set := range s.sets {
		if set.byCertificate() != (p.cert != nil) {
			continue
		}
		v := verifier{set: set, now: time.Now(), material: noMaterial}
		if r, err := s.root(v.now); err == nil && r != nil {
			v.material = r
		}
		if p.cert == nil {
			v.useKeys()
			if k, err := v.signingKey(p); err == nil {
				return publicPEM(k.public.Public)
			}
			continue
		}
		if _, err := v.owner(p.cert); err == nil && v.plausible(p) {
			return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert.Raw})
		}
	}
	return nil
}

// plausible reports whether a certificate is by an authority that counts and its key made the signature: both can be copied, and
// neither made up.
func (c *verifier) plausible(p *piece) bool {
	public, err := material.NewKey(p.cert.PublicKey)
	if err != nil || verifySignature(p, public.Verifier()) != nil {
		return false
	}
	_, err = c.chainsAt(p, withoutOtherName(p.cert), p.cert.NotBefore)
	return err == nil
}

func publicPEM(public crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil // no key that was read from its DER
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func decodeLookedUp(text string) (*tlog.Entry, error) {
	var raw protorekor.TransparencyLogEntry
	if err := protojson.Unmarshal([]byte(text), &raw); err != nil {
		return nil, err
	}
	return tlog.ParseTransparencyLogEntry(&raw)
}

// proposal is an entry that a log may hold (Rekor, types/hashedrekord and types/dsse).
type proposal struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       any    `json:"spec"`
}

// proposalFor returns the entry under which a log holds a signature; signer is its certificate or key in PEM.
func proposalFor(p *piece, signer []byte) (proposal, error) {
	encoded := base64.StdEncoding.EncodeToString(signer)
	if e := p.content.EnvelopeContent(); e != nil {
		envelope, err := json.Marshal(e.RawEnvelope())
		return proposal{"0.0.1", "dsse", map[string]any{
			"proposedContent": map[string]any{"envelope": string(envelope), "verifiers": []string{encoded}},
		}}, err
	}
	m := p.content.MessageSignatureContent()
	return proposal{"0.0.1", "hashedrekord", map[string]any{
		"data": map[string]any{"hash": map[string]string{"algorithm": "sha256", "value": hex.EncodeToString(m.Digest())}},
		"signature": map[string]any{
			"content":   base64.StdEncoding.EncodeToString(m.Signature()),
			"publicKey": map[string]string{"content": encoded},
		},
	}}, nil
}

// logAnswer is an entry as Rekor v1 tells it (its openapi.yaml, LogEntry).
type logAnswer struct {
	Body           []byte `json:"body"`
	IntegratedTime int64  `json:"integratedTime"`
	LogID          string `json:"logID"`
	LogIndex       int64  `json:"logIndex"`
	Verification   struct {
		SignedEntryTimestamp []byte `json:"signedEntryTimestamp"`
	} `json:"verification"`
}

// askLog asks for an entry; nil: the log does not hold it.
func (s *search) askLog(ctx context.Context, proposed proposal) (*protorekor.TransparencyLogEntry, error) {
	content, err := s.post(ctx, proposed)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", s.rekorURL, err)
	}
	entry, err := readLogAnswer(content)
	if err != nil {
		return nil, fmt.Errorf("log %s: malformed answer: %w", s.rekorURL, err)
	}
	return entry, nil
}

func (s *search) post(ctx context.Context, proposed proposal) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	body, err := json.Marshal(map[string]any{"entries": []proposal{proposed}})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.rekorURL+"/api/v1/log/entries/retrieve", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	answer, err := s.settings.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxLookup+1))
	switch {
	case err != nil:
		return nil, err
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("status %d", answer.StatusCode)
	case len(content) > maxLookup:
		return nil, fmt.Errorf("answer of more than %d bytes", maxLookup)
	}
	return content, nil
}

// readLogAnswer reads the entry that was asked for. What no reader of entries takes is the log's fault, not the signature's.
func readLogAnswer(content []byte) (entry *protorekor.TransparencyLogEntry, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			entry, err = nil, fmt.Errorf("%v", caught)
		}
	}()
	var answers []map[string]logAnswer
	if err := json.Unmarshal(content, &answers); err != nil {
		return nil, err
	}
	if len(answers) == 0 || len(answers[0]) == 0 {
		return nil, nil
	}
	if len(answers) > 1 || len(answers[0]) > 1 {
		return nil, errors.New("several entries, and one was asked for")
	}
	for _, e := range answers[0] {
		if entry, err = e.entry(); err != nil {
			return nil, err
		}
	}
	if _, err := tlog.ParseTransparencyLogEntry(entry); err != nil {
		return nil, err
	}
	return entry, nil
}

// entry brings an answer into the form of a bundle's log entry. It is proved by the log's promise when it is checked.
func (e *logAnswer) entry() (*protorekor.TransparencyLogEntry, error) {
	entry, err := promised(e.Body, e.LogID, e.LogIndex, e.IntegratedTime, e.Verification.SignedEntryTimestamp)
	if err != nil {
		return nil, fmt.Errorf("malformed entry: %w", err)
	}
	return entry, nil
}
