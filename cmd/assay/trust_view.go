package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/assay-dev/assay/trust/sigstore/material"
)

// trustView is what is shown of trust material.
type trustView struct {
	Source      string            `json:"source"`
	Kind        material.Kind     `json:"kind"`
	Version     string            `json:"version,omitempty"`
	AsOf        time.Time         `json:"asOf,omitzero"`       // last proved to be current
	AgeSeconds  int64             `json:"ageSeconds,omitzero"` // since then
	Expires     time.Time         `json:"expires,omitzero"`    // the end of that proof
	UsableUntil time.Time         `json:"usableUntil,omitzero"`
	Stale       bool              `json:"stale"`
	Error       string            `json:"error,omitempty"`
	Warnings    []string          `json:"warnings,omitempty"`
	Members     []material.Member `json:"members,omitempty"`

	now     time.Time
	lastErr error // of the last attempt to fetch
	unsaved error // why what was fetched is not on disk
}

// unusable returns the error that ends the program if there is nothing to use.
func unusable(views []*trustView) error {
	var errs []error
	for _, v := range views {
		if v.Error != "" {
			errs = append(errs, errors.New(plain(v.Error)))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return &exitError{code: exitCannotTell, err: errors.Join(errs...)}
}

// trustViews returns what is shown of the material that the flags and the environment name.
func (a *app) trustViews(o *trustOptions) ([]*trustView, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	k, source, err := a.trustMaterial(o)
	if err != nil {
		return nil, err
	}
	if source != nil {
		return []*trustView{sourceView(source, a.now())}, nil
	}
	if len(k.Fetched()) == 0 {
		fmt.Fprintln(a.stderr, "assay: the policies name nothing that is fetched")
	}
	return fetchedViews(k, a.now()), nil
}

func sourceView(source material.Source, now time.Time) *trustView {
	var members []material.Member
	if r, err := source.Root(now); err == nil {
		members = r.Members()
	}
	return newTrustView(source.Status(now), members, now)
}

// fetchedViews returns what is shown of everything that a keeper fetches.
func fetchedViews(k *material.Keeper, now time.Time) []*trustView {
	var views []*trustView
	for _, f := range k.Fetched() {
		views = append(views, newTrustView(f.Status(now), f.Members(now), now))
	}
	return views
}

func newTrustView(s material.Status, members []material.Member, now time.Time) *trustView {
	v := &trustView{
		Source: s.Name, Kind: s.Kind, Version: s.Version, Stale: s.Stale,
		AsOf: s.AsOf.UTC(), AgeSeconds: int64(s.Age / time.Second), Expires: s.Expires.UTC(),
		now: now, lastErr: s.LastError, unsaved: s.Unsaved,
	}
	if !s.AsOf.IsZero() && s.MaxStale > 0 {
		v.UsableUntil = s.AsOf.Add(s.MaxStale).UTC()
	}
	if s.Err != nil {
		v.Error = s.Err.Error()
		if s.Kind == material.KindKMS {
			v.Error = "key " + s.Name + ": " + v.Error
		}
		return v
	}
	if s.Warning != "" {
		v.Warnings = append(v.Warnings, s.Warning)
	}
	v.Members = members
	v.Warnings = append(v.Warnings, ending(members, now)...)
	return v
}

// endsSoon is how long before the last member of a kind ends there is a warning.
const endsSoon = 30 * 24 * time.Hour

// ending warns about kinds of which nothing will be valid soon.
func ending(members []material.Member, now time.Time) []string {
	var warnings []string
	for _, kind := range trustKinds {
		known, valid, soon := 0, 0, 0
		for i := range members {
			m := &members[i]
			if m.Kind != kind.name {
				continue
			}
			known++
			if m.Valid(now) {
				valid++
			}
			if m.Valid(now.Add(endsSoon)) {
				soon++
			}
		}
		switch {
		case known == 0:
		case valid == 0:
			warnings = append(warnings, "no "+kind.title+" counts for what is signed now")
		case soon == 0:
			warnings = append(warnings, "no "+kind.title+" counts for what will be signed in 30 days")
		}
	}
	return warnings
}
