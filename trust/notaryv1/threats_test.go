package notaryv1

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/notaryv1/notarytest"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// signedApp makes trust data with a delegation for jenkins beside the one for releases.
func signedApp() *notarytest.Repository {
	r := newRepository()
	r.Delegate("targets/jenkins")
	r.Sign("targets/jenkins", "1", app.Digest())
	return r
}

func rootKey(r *notarytest.Repository) *notarytest.Key { return r.Roles[notarytest.Root].Keys[0] }

// wantNoWith fails unless there is a "no" whose text has all of some words.
func wantNoWith(t *testing.T, proofs []trust.Proof, err error, words ...string) {
	t.Helper()
	if len(proofs) > 0 || !trust.IsNo(err) {
		t.Fatalf("proofs %d, error %v, want a no", len(proofs), err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error = %v, want %q in it", err, word)
		}
	}
}

// Each change makes trust data that were good into such as prove nothing.
func TestForgedMetadata(t *testing.T) {
	foreign := notarytest.NewKey("P-256")
	sign := func(role string, keys ...*notarytest.Key) func(*notarytest.Repository) {
		return func(r *notarytest.Repository) { r.Roles[role].Signers = keys }
	}
	edit := func(role string, change func(signed map[string]any)) func(*notarytest.Repository) {
		return func(r *notarytest.Repository) { r.Roles[role].Edit = change }
	}
	role := func(of, name string, change func(role map[string]any)) func(*notarytest.Repository) {
		return edit(of, func(signed map[string]any) { change(signed["roles"].(map[string]any)[name].(map[string]any)) })
	}
	delegation := func(change func(d map[string]any)) func(*notarytest.Repository) {
		return edit(notarytest.Targets, func(signed map[string]any) {
			for _, d := range signed["delegations"].(map[string]any)["roles"].([]any) {
				if d := d.(map[string]any); d["name"] == notarytest.Releases {
					change(d)
				}
			}
		})
	}
	for name, c := range map[string]struct {
		change func(*notarytest.Repository)
		want   string
	}{
		"T28 a root by a foreign key":              {sign(notarytest.Root, foreign), "role root"},
		"T28 a timestamp by a foreign key":         {sign(notarytest.Timestamp, foreign), "role timestamp"},
		"T28 a snapshot by a foreign key":          {sign(notarytest.Snapshot, foreign), "role snapshot"},
		"T28 targets by a foreign key":             {sign(notarytest.Targets, foreign), "role targets"},
		"T28 releases by a foreign key":            {sign(notarytest.Releases, foreign), "role targets/releases"},
		"T28 releases by the timestamp's key":      {func(r *notarytest.Repository) { sign(notarytest.Releases, r.Roles[notarytest.Timestamp].Keys[0])(r) }, "role targets/releases"},
		"a timestamp without signatures":           {sign(notarytest.Timestamp), "signed by 0"},
		"T9 a threshold of 0 for the timestamp":    {role(notarytest.Root, notarytest.Timestamp, func(m map[string]any) { m["threshold"] = 0 }), "a threshold of 0"},
		"T9 a threshold of 0 for the root":         {role(notarytest.Root, notarytest.Root, func(m map[string]any) { m["threshold"] = 0 }), "a threshold of 0"},
		"T9 a negative threshold":                  {role(notarytest.Root, notarytest.Targets, func(m map[string]any) { m["threshold"] = -1 }), "a threshold of -1"},
		"T9 a threshold that nobody meets":         {role(notarytest.Root, notarytest.Snapshot, func(m map[string]any) { m["threshold"] = 2 }), "a threshold of 2"},
		"T9 a threshold of 0 for a delegation":     {delegation(func(d map[string]any) { d["threshold"] = 0 }), "a threshold of 0"},
		"T9 a delegation without keys":             {delegation(func(d map[string]any) { d["keyids"] = []string{} }), "with 0 different keys"},
		"a delegation to a key that is not listed": {delegation(func(d map[string]any) { d["keyids"] = []string{strings.Repeat("0", 64)} }), "is not listed"},
		"a role that is missing":                   {edit(notarytest.Root, func(s map[string]any) { delete(s["roles"].(map[string]any), "snapshot") }), "role snapshot: is absent"},
		"roles that are missing":                   {edit(notarytest.Root, func(s map[string]any) { delete(s, "roles") }), "roles: is absent"},
		"T29 a delegation with dots":               {delegation(func(d map[string]any) { d["name"] = "targets/../releases" }), "role \"targets/../releases\""},
		"T29 a delegation above":                   {delegation(func(d map[string]any) { d["name"] = "../targets" }), "role \"../targets\""},
		"T29 an absolute delegation":               {delegation(func(d map[string]any) { d["name"] = "/etc/passwd" }), "role \"/etc/passwd\""},
		"T29 a delegation with a backslash":        {delegation(func(d map[string]any) { d["name"] = `targets\x` }), "role"},
		"T28 a delegation to the role itself":      {delegation(func(d map[string]any) { d["name"] = "targets" }), "one step below"},
		"T28 a delegation to a grandchild":         {delegation(func(d map[string]any) { d["name"] = "targets/a/b" }), "one step below"},
		"T28 a delegation to a top role":           {delegation(func(d map[string]any) { d["name"] = "snapshot" }), "role \"snapshot\""},
		"a delegation twice": {edit(notarytest.Targets, func(s map[string]any) {
			d := s["delegations"].(map[string]any)
			d["roles"] = append(d["roles"].([]any), d["roles"].([]any)[0])
		}), "is there twice"},
		"a timestamp as snapshot":                        {edit(notarytest.Snapshot, func(s map[string]any) { s["_type"] = "Timestamp" }), `type "Timestamp"`},
		"targets as a root":                              {edit(notarytest.Root, func(s map[string]any) { s["_type"] = "Targets" }), `type "Targets"`},
		"a type in small letters":                        {edit(notarytest.Targets, func(s map[string]any) { s["_type"] = "targets" }), `type "targets"`},
		"version 0":                                      {edit(notarytest.Timestamp, func(s map[string]any) { s["version"] = 0 }), "version 0"},
		"a version that is no number":                    {edit(notarytest.Timestamp, func(s map[string]any) { s["version"] = "1" }), "version: a string"},
		"no version":                                     {edit(notarytest.Snapshot, func(s map[string]any) { delete(s, "version") }), "version: is absent"},
		"no expiry":                                      {edit(notarytest.Targets, func(s map[string]any) { delete(s, "expires") }), "expires: is absent"},
		"an expiry of null":                              {edit(notarytest.Targets, func(s map[string]any) { s["expires"] = nil }), "expires: is absent"},
		"an expiry that is no time":                      {edit(notarytest.Timestamp, func(s map[string]any) { s["expires"] = "never" }), "expires:"},
		"no snapshot in the timestamp":                   {edit(notarytest.Timestamp, func(s map[string]any) { s["meta"] = map[string]any{} }), "timestamp of"},
		"T28 no root in the snapshot":                    {edit(notarytest.Snapshot, func(s map[string]any) { delete(s["meta"].(map[string]any), "root") }), "it names no root"},
		"T28 no targets in the snapshot":                 {edit(notarytest.Snapshot, func(s map[string]any) { delete(s["meta"].(map[string]any), "targets") }), "does not name it"},
		"T13 hashes of no known kind":                    {func(r *notarytest.Repository) { r.Hashes = []string{"md5"} }, ""},
		"a tag that the delegation's paths do not allow": {func(r *notarytest.Repository) { r.Roles[notarytest.Releases].Paths = []string{"2", "v"} }, "No valid trust data for 1"},
		"a delegation without paths":                     {func(r *notarytest.Repository) { r.Roles[notarytest.Releases].Paths = nil }, "No valid trust data for 1"},
		"T19 an expired timestamp":                       {func(r *notarytest.Repository) { r.Roles[notarytest.Timestamp].Expires = now }, "the timestamp expired"},
		"T19 an expired snapshot":                        {func(r *notarytest.Repository) { r.Roles[notarytest.Snapshot].Expires = now }, "the snapshot expired"},
		"T19 expired targets":                            {func(r *notarytest.Repository) { r.Roles[notarytest.Targets].Expires = now }, "targets expired"},
		"T19 an expired root":                            {func(r *notarytest.Repository) { r.Roles[notarytest.Root].Expires = now }, "the root expired"},
		"T19 an expired delegation":                      {func(r *notarytest.Repository) { r.Roles[notarytest.Releases].Expires = now }, "targets/releases expired"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository()
			pin := pinned(r)
			c.change(r)
			w := newWorld(pin)
			w.serve(r)
			proofs, err := w.decide(t, w.authority(t), app)
			wantNoWith(t, proofs, err, c.want)
		})
	}
}

// T28: a delegation that is broken is not passed over in favour of targets, which may have an older word.
func TestT28_BrokenDelegationIsNotPassedOver(t *testing.T) {
	for name, change := range map[string]func(*notarytest.Role){
		"expired":          func(r *notarytest.Role) { r.Expires = now },
		"signed by nobody": func(r *notarytest.Role) { r.Signers = nil },
		"cut":              func(r *notarytest.Role) { r.File = func(b []byte) []byte { return b[:10] } },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRepository()
			r.Sign(notarytest.Targets, "1", app.Digest())
			w := newWorld(pinned(r))
			w.serve(r)
			if _, err := w.decide(t, w.authority(t), app); err != nil {
				t.Fatal(err)
			}
			change(r.Roles[notarytest.Releases])
			w = newWorld(pinned(r))
			w.serve(r)
			proofs, err := w.decide(t, w.authority(t), app)
			wantNoWith(t, proofs, err, "targets/releases")
		})
	}
}

// The role that stands first decides about a tag, in both ways of asking.
func TestReleasesDecideBeforeTargets(t *testing.T) {
	r := newRepository()
	r.Sign(notarytest.Targets, "1", other)
	w := newWorld(pinned(r))
	w.serve(r)
	a := w.authority(t)
	if _, err := w.decide(t, a, app); err != nil {
		t.Error(err)
	}
	for _, ref := range []image.Ref{app.Pinned(other), app.At(other)} {
		proofs, err := w.decide(t, a, ref)
		wantNoWith(t, proofs, err)
	}
}

// T28: every role's floor holds, also in another process.
func TestT28_RollbackOfEachRole(t *testing.T) {
	for _, role := range []string{notarytest.Root, notarytest.Timestamp, notarytest.Snapshot, notarytest.Targets, notarytest.Releases} {
		t.Run(role, func(t *testing.T) {
			r := newRepository()
			w := newWorld(pinned(r))
			switch role {
			case notarytest.Root:
				older := r.Files()
				r.RotateRoot()
				w.serve(r)
				if _, err := w.decide(t, w.authority(t), app); err != nil {
					t.Fatal(err)
				}
				w.serveFiles(r.GUN, older)
			default:
				r.Roles[role].Version += 5
				r.Refresh()
				w.serve(r)
				if _, err := w.decide(t, w.authority(t), app); err != nil {
					t.Fatal(err)
				}
				// An attacker with all online keys makes everything else newer.
				for name, other := range r.Roles {
					if name != notarytest.Root {
						other.Version += 10
					}
				}
				r.Roles[role].Version -= 11
				w.serve(r)
			}
			for _, restart := range []bool{false, true} {
				if restart {
					w.restart()
				}
				proofs, err := w.decide(t, w.authority(t), app)
				wantNoWith(t, proofs, err, "rollback", role+" of")
			}
		})
	}
}

// T28: metadata in which an image is no longer signed are a floor as well.
func TestT28_RevocationIsAFloor(t *testing.T) {
	r := newRepository()
	w := newWorld(pinned(r))
	before := r.Files()
	r.Revoke(notarytest.Releases, "1")
	w.serve(r)
	a := w.authority(t)
	proofs, err := w.decide(t, a, app)
	wantNoWith(t, proofs, err, "No valid trust data for 1")
	w.serveFiles(r.GUN, before)
	w.restart()
	proofs, err = w.decide(t, w.authority(t), app)
	wantNoWith(t, proofs, err, "rollback")
}

// T28: a timestamp that is served for ever ends by itself.
func TestT28_FrozenTimestamp(t *testing.T) {
	r := newRepository()
	w := newWorld(pinned(r))
	w.serve(r)
	a := w.authority(t)
	w.clock = made.Add(14*day - time.Second)
	proofs, err := w.decide(t, a, app)
	if err != nil || !proofs[0].Expires.Equal(made.Add(14*day)) {
		t.Fatalf("%v, %v", proofs, err)
	}
	w.clock = made.Add(14 * day)
	proofs, err = w.decide(t, a, app)
	wantNoWith(t, proofs, err, "the timestamp expired")
}

// T28: files of two times are not mixed.
func TestT28_MixAndMatch(t *testing.T) {
	r := newRepository()
	old := r.Files()
	r.Sign(notarytest.Releases, "2", other)
	r.RotateRoot()
	current := r.Files()
	a := newWorld(pinned(r)).authority(t)
	for _, name := range []string{"root", "timestamp", "snapshot", "targets/releases"} {
		f := map[string][]byte{}
		for _, one := range []string{"timestamp", "snapshot", "targets", "targets/releases"} {
			f[one] = current[one+".json"]
		}
		roots := [][]byte{old["root.json"], current["root.json"]}
		if name == "root" {
			roots = roots[:1]
		} else {
			f[name] = old[name+".json"]
		}
		ev, err := evidence(past{}, roots, f)
		if err != nil {
			t.Fatal(err)
		}
		proofs, err := a.Check(app, ev, now)
		wantNoWith(t, proofs, err)
	}
}

// T13: a server that sends another file than it was asked for is not believed, and nobody can tell.
func TestT13_OtherBytesUnderAHash(t *testing.T) {
	for _, role := range []string{"snapshot", "targets", "targets/releases"} {
		for name, change := range map[string]func([]byte) []byte{
			"other bytes": func(b []byte) []byte { c := bytes.Clone(b); c[len(c)/2] ^= 1; return c },
			"longer":      func(b []byte) []byte { return append(bytes.Clone(b), ' ') },
			"shorter":     func(b []byte) []byte { return b[:len(b)-1] },
			"empty":       func([]byte) []byte { return []byte{} },
		} {
			r := newRepository()
			w := newWorld(pinned(r))
			files := r.Files()
			for file, content := range files {
				if strings.HasPrefix(file, role+".") && file != role+".json" && !strings.Contains(file[len(role)+1:], "/") {
					files[file] = change(content)
				}
			}
			w.serveFiles(r.GUN, files)
			if proofs, err := w.decide(t, w.authority(t), app); err == nil || len(proofs) > 0 || trust.IsNo(err) {
				t.Errorf("%s, %s: proofs %d, error %v, want cannot tell", role, name, len(proofs), err)
			}
		}
	}
}

// T13: a file is the one that another speaks of by its length and by every hash that is known.
func TestT13_FilesThatFit(t *testing.T) {
	content := []byte("content")
	short, long := sha256.Sum256(content), sha512.Sum512(content)
	for name, c := range map[string]struct {
		meta fileMeta
		want bool
	}{
		"both":                   {fileMeta{7, map[string][]byte{"sha256": short[:], "sha512": long[:]}}, true},
		"one, and an unknown":    {fileMeta{7, map[string][]byte{"sha512": long[:], "md5": {1}}}, true},
		"another SHA-256":        {fileMeta{7, map[string][]byte{"sha256": make([]byte, 32), "sha512": long[:]}}, false},
		"another SHA-512":        {fileMeta{7, map[string][]byte{"sha256": short[:], "sha512": make([]byte, 64)}}, false},
		"the start of a SHA-256": {fileMeta{7, map[string][]byte{"sha256": short[:8]}}, false},
		"another length":         {fileMeta{8, map[string][]byte{"sha256": short[:]}}, false},
		"unknown hashes":         {fileMeta{7, map[string][]byte{"md5": {1}}}, false},
		"empty hashes":           {fileMeta{7, map[string][]byte{"sha256": {}, "sha512": nil}}, false},
		"nothing":                {fileMeta{}, false},
	} {
		if err := c.meta.fits(content); (err == nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Wrong hashes and lengths in what is signed are noticed whichever of them is wrong.
func TestT13_SignedHashesAndLengths(t *testing.T) {
	for name, change := range map[string]func(meta map[string]any){
		"the SHA-256":       func(m map[string]any) { m["hashes"].(map[string]any)["sha256"] = make([]byte, 32) },
		"the SHA-512":       func(m map[string]any) { m["hashes"].(map[string]any)["sha512"] = make([]byte, 64) },
		"a short SHA-256":   func(m map[string]any) { m["hashes"].(map[string]any)["sha256"] = []byte{1} },
		"the length":        func(m map[string]any) { m["length"] = m["length"].(int) + 1 },
		"a length of 0":     func(m map[string]any) { m["length"] = 0 },
		"a negative length": func(m map[string]any) { m["length"] = -1 },
		"T43 a huge length": func(m map[string]any) { m["length"] = int64(1) << 62 },
		"no hash":           func(m map[string]any) { m["hashes"] = map[string]any{} },
		"a hash of a hash":  func(m map[string]any) { m["hashes"] = map[string]any{"sha256": hex.EncodeToString(make([]byte, 32))} },
	} {
		for _, by := range []string{notarytest.Timestamp, notarytest.Snapshot} {
			r := newRepository()
			pin := pinned(r)
			r.Roles[by].Edit = func(signed map[string]any) {
				meta := signed["meta"].(map[string]any)
				for _, of := range []string{notarytest.Snapshot, notarytest.Releases} {
					if m, found := meta[of]; found {
						change(m.(map[string]any))
					}
				}
			}
			w := newWorld(pin)
			w.serve(r)
			if proofs, err := w.decide(t, w.authority(t), app); err == nil || len(proofs) > 0 {
				t.Errorf("%s in the %s: proved", name, by)
			}
		}
	}
}
