package sigstore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// witnesses is what logs and time-stamp authorities say of a signature.
type witnesses struct {
	log    []trust.LogEntry
	logged []time.Time // by logs
	times  []time.Time // by logs and time-stamp authorities
	why    []error     // of entries and stamps that do not count
}

// witness asks logs and time-stamp authorities, each counted once.
func (c *verifier) witness(p *piece, m root.TrustedMaterial) (*witnesses, error) {
	seen := &witnesses{}
	if !c.ignoreLog {
		if err := c.askLogs(p, m, seen); err != nil {
			return nil, err
		}
	}
	if len(p.stamps) == 0 && c.stamps == 0 {
		return seen, nil
	}
	count, err := askAuthorities(p, m, seen)
	if err != nil {
		return nil, err
	}
	if count < c.stamps {
		return nil, seen.because(fmt.Sprintf("time stamps by %d authorities that count, %d are wanted", count, c.stamps))
	}
	return seen, nil
}

// askAuthorities judges the time stamps, and returns by how many authorities they are.
func askAuthorities(p *piece, m root.TrustedMaterial, seen *witnesses) (count int, err error) {
	if len(m.TimestampingAuthorities()) == 0 {
		seen.why = append(seen.why, errors.New("the trust material has no time-stamp authority"))
		return 0, nil
	}
	stamps, refused, err := verify.VerifySignedTimestamp(&p.entity, m)
	if err != nil {
		return 0, fmt.Errorf("time stamps: %w", err)
	}
	for _, why := range refused {
		seen.why = append(seen.why, fmt.Errorf("a time stamp does not hold: %w", brief(why)))
	}
	for _, s := range stamps {
		seen.times = append(seen.times, s.Time)
	}
	return len(stamps), nil
}

// askLogs judges each log entry for itself; one that does not hold is left out. Several entries of one log count once.
func (c *verifier) askLogs(p *piece, m root.TrustedMaterial, seen *witnesses) error {
	logs := map[string]bool{}
	for _, entry := range p.entries {
		times, err := verifyEntry(p, entry, m)
		if err != nil {
			seen.why = append(seen.why, fmt.Errorf("log entry %d: %w", entry.LogIndex(), err))
			continue
		}
		id := hex.EncodeToString([]byte(entry.LogKeyID()))
		name := material.LogName(m.RekorLogs()[id])
		if logs[name] {
			continue
		}
		logs[name] = true
		found := trust.LogEntry{ID: id, Index: provenIndex(entry), SignedEntryTimestamp: promise(entry)}
		for _, t := range times {
			found.IntegratedTime = t.Time.UTC()
			seen.times, seen.logged = append(seen.times, t.Time), append(seen.logged, t.Time)
		}
		seen.log = append(seen.log, found)
	}
	if len(logs) >= c.logs {
		return nil
	}
	if len(p.entries) == 0 {
		return fmt.Errorf("no entry of a transparency log; have signatures logged, or write insecureIgnoreLog: true")
	}
	return seen.because(fmt.Sprintf("entries of %d transparency logs that count, %d are wanted", len(logs), c.logs))
}

// verifyEntry judges one log entry. The library compares an entry in the form of Rekor v2 with the signature only where the checkpoint is
// one of Rekor v2 too; in a tree of v1, whose origin ends in its number, it would take any such entry.
func verifyEntry(p *piece, entry *tlog.Entry, m root.TrustedMaterial) ([]root.Timestamp, error) {
	origin, _, _ := strings.Cut(entry.TransparencyLogEntry().GetInclusionProof().GetCheckpoint().GetEnvelope(), "\n")
	if entry.IsRekorV2() && strings.Contains(origin, " ") {
		return nil, errors.New("an entry of Rekor v2 in a tree of v1")
	}
	if id := hex.EncodeToString([]byte(entry.LogKeyID())); m.RekorLogs()[id] == nil {
		return nil, fmt.Errorf("log %s is not in the trust material, which has %d logs", id, len(m.RekorLogs()))
	}
	times, err := verify.VerifyTlogEntry(p.with(entry), m, 1, true)
	if err != nil {
		return nil, fmt.Errorf("its promise or its proof does not hold, or it is another signature's: %w", brief(err))
	}
	return times, nil
}

// briefly is a library's error in one line of moderate length.
type briefly struct{ error }

func brief(err error) error { return &briefly{err} }

// Error implements error.
func (b *briefly) Error() string {
	text := strings.Join(strings.FieldsFunc(trust.Plain(b.error.Error()), func(r rune) bool { return unicode.IsSpace(r) || r == unicode.ReplacementChar }), " ")
	return clip(text)
}

// Unwrap returns the cause.
func (b *briefly) Unwrap() error { return b.error }

// provenIndex returns the index of an entry that its promise or its proof of inclusion is about; beside a proof alone, the entry's own
// index is anybody's word.
func provenIndex(e *tlog.Entry) int64 {
	if proof := e.TransparencyLogEntry().GetInclusionProof(); proof != nil && !e.HasInclusionPromise() {
		return proof.GetLogIndex()
	}
	return e.LogIndex()
}

func promise(e *tlog.Entry) []byte {
	return e.TransparencyLogEntry().GetInclusionPromise().GetSignedEntryTimestamp()
}

// because returns an error with the reasons why witnesses did not count.
func (w *witnesses) because(text string) error {
	if len(w.why) == 0 {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %w", text, w.why[0])
}
