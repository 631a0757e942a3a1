package notaryv1

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/assay-dev/assay/trust"
)

// Names of items of evidence beside files, whose names are those of their roles with ".json".
const (
	itemPast = "past"
	itemType = "application/json"
)

// Floor is the highest version of a role's file that was seen, and by whom that file was to be signed then.
type Floor struct {
	Version int `json:"version"`
	// Signers names the keys and the threshold of the role. The floor is theirs alone: who stole a key that was replaced since could
	// have signed any version (TUF 5.3.11).
	Signers string `json:"signers"`
}

// Floors are those of one role, one for each of its signers, the latest first. Those of earlier signers stay: else who delegates could
// have their old word count again, by naming somebody else for a while.
type Floors []Floor

// of returns the floor of some signers.
func (f Floors) of(signers string) (Floor, bool) {
	i := slices.IndexFunc(f, func(one Floor) bool { return one.Signers == signers })
	if i < 0 {
		return Floor{}, false
	}
	return f[i], true
}

// with returns the floors with a new latest one.
func (f Floors) with(latest Floor) Floors {
	others := slices.DeleteFunc(slices.Clone(f), func(one Floor) bool { return one.Signers == latest.Signers })
	return append(Floors{latest}, others[:min(len(others), maxFloors-1)]...)
}

// past is what Check must know of what was seen before. Find puts it beside the files.
type past struct {
	Floors map[string]Floors `json:"floors,omitempty"` // by role
	Root   string            `json:"root,omitempty"`   // SHA-256 of the root that was seen last, which all others must follow
	// Seen is when the server last answered, if it does not answer now and these are the files of that time; Until is when they no
	// longer count.
	Seen  time.Time `json:"seen,omitzero"`
	Until time.Time `json:"until,omitzero"`
}

func (p past) item() (trust.Item, error) {
	content, err := json.Marshal(p)
	return trust.Item{Name: itemPast, MediaType: itemType, Bytes: content}, err
}

// files is the evidence of a repository, sorted out.
type files struct {
	past   past
	roots  [][]byte          // in the order of their versions, as far as Find is honest
	byRole map[string][]byte // timestamp, snapshot, and targets roles
}

// sortOut takes what is known by its name out of evidence. Anything else is no part of it.
func sortOut(ev trust.Evidence) (files, error) {
	f := files{byRole: map[string][]byte{}}
	hasPast := false
	for _, item := range ev.Items {
		switch role, isFile := roleOfItem(item.Name); {
		case item.Name == itemPast && hasPast, isFile && role != roleRoot && f.byRole[role] != nil:
			return f, fmt.Errorf("%s: is there twice", item.Name)
		case item.Name == itemPast:
			hasPast = true
			if err := json.Unmarshal(item.Bytes, &f.past); err != nil {
				return f, fmt.Errorf("what was seen before cannot be read: %w", plainJSON(err))
			}
		case role == roleRoot:
			f.roots = append(f.roots, item.Bytes)
		case isFile:
			f.byRole[role] = item.Bytes
		}
	}
	if !hasPast {
		return f, fmt.Errorf("there are no trust data to check")
	}
	return f, nil
}

func itemName(role string) string { return role + ".json" }

func roleOfItem(name string) (role string, ok bool) {
	const suffix = ".json"
	if len(name) <= len(suffix) || name[len(name)-len(suffix):] != suffix {
		return "", false
	}
	role = name[:len(name)-len(suffix)]
	switch role {
	case roleRoot, roleTimestamp, roleSnapshot:
		return role, true
	}
	return role, checkRole(role) == nil
}
