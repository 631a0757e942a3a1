package trust

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"testing"

	"github.com/assay-dev/assay/image"
)

// T5: only what this package calls a "no" is one. An error of any other type means that nobody could tell.
func TestT5_IsNo(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"untrusted":                      {Untrusted("no"), true},
		"unsigned":                       {Unsigned("no"), true},
		"the sentinels":                  {ErrUnsigned, true},
		"the other sentinel":             {ErrUntrusted, true},
		"with text":                      {fmt.Errorf("app: %w", Untrusted("no")), true},
		"with text twice":                {fmt.Errorf("a: %w", fmt.Errorf("b: %w", ErrUnsigned)), true},
		"a no whose reason is not found": {Unsigned("GET: %w", ErrNotFound), true},
		"a no whose reason is a fault":   {Untrusted("reads: %w", io.ErrUnexpectedEOF), true},
		"nil":                            {nil, false},
		"a fault":                        {io.ErrUnexpectedEOF, false},
		"a time-out":                     {context.DeadlineExceeded, false},
		"not found":                      {ErrNotFound, false},
		"the text alone":                 {errors.New("untrusted"), false},
		"a no joined with a fault":       {errors.Join(ErrUntrusted, io.EOF), false},
		"a fault joined with a no":       {errors.Join(io.EOF, Untrusted("no")), false},
		"a no joined with nothing":       {errors.Join(ErrUntrusted), false},
		"two causes":                     {fmt.Errorf("%w: %w", ErrUnsigned, context.Canceled), false},
		"two causes further down":        {fmt.Errorf("a: %w", fmt.Errorf("%w: %w", ErrUnsigned, io.EOF)), false},
		"an error that is like a no":     {likeNo{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsNo(c.err); got != c.want {
				t.Errorf("IsNo(%v) = %v, want %v", c.err, got, c.want)
			}
		})
	}
}

// likeNo says of itself that it is a no.
type likeNo struct{}

func (likeNo) Error() string   { return "like" }
func (likeNo) Is(e error) bool { return e == ErrUnsigned || e == ErrUntrusted }

func TestRefusalsKeepKindAndCause(t *testing.T) {
	err := fmt.Errorf("app: %w", Untrusted("layer: %w", io.ErrUnexpectedEOF))
	if !errors.Is(err, ErrUntrusted) || errors.Is(err, ErrUnsigned) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v does not unwrap to kind and cause", err)
	}
	if got, want := err.Error(), "app: layer: unexpected EOF"; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
}

func TestSerial(t *testing.T) {
	for _, c := range []struct {
		n    *big.Int
		want string
	}{
		{nil, ""}, {big.NewInt(0), "00"}, {big.NewInt(1), "01"}, {big.NewInt(0x4fa2), "4f:a2"}, {big.NewInt(0x80), "80"},
		{big.NewInt(-0x80), "-80"}, {new(big.Int).Lsh(big.NewInt(1), 64), "01:00:00:00:00:00:00:00:00"},
	} {
		if got := Serial(c.n); got != c.want {
			t.Errorf("Serial(%v) = %q, want %q", c.n, got, c.want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	sum := sha256.Sum256([]byte("key"))
	if got, want := Fingerprint([]byte("key")), "SHA256:"+base64.RawStdEncoding.EncodeToString(sum[:]); got != want || len(got) != 50 {
		t.Errorf("Fingerprint = %q, want %q", got, want)
	}
}

func TestSignerID(t *testing.T) {
	named := Signer{Key: "SHA256:a", Identity: Identity{Issuer: "i", Subject: "s"}}
	for _, c := range []struct {
		a, b Signer
		same bool
	}{
		{Signer{Key: "SHA256:a"}, Signer{Key: "SHA256:a", Chain: []Certificate{{}}}, true},
		{Signer{Key: "SHA256:a"}, Signer{Key: "SHA256:b"}, false},
		{named, Signer{Key: "SHA256:b", Identity: named.Identity}, true},
		{named, Signer{Key: "SHA256:a"}, false},
		{named, Signer{Identity: Identity{Issuer: "i"}}, false},
	} {
		if got := c.a.ID() == c.b.ID(); got != c.same {
			t.Errorf("%+v and %+v: same = %v, want %v", c.a, c.b, got, c.same)
		}
	}
}

// T9: one key under two names, and one person with two keys, are one signer.
func TestT9_SignersAreToldApart(t *testing.T) {
	mail, page := Identity{Issuer: "i", Subject: "dev@acme.example"}, Identity{Issuer: "i", Subject: "https://acme.example/dev"}
	both := []string{mail.Subject, page.Subject}
	for name, c := range map[string]struct {
		a, b Signer
		same bool
	}{
		"one key":                                 {Signer{Key: "SHA256:a"}, Signer{Key: "SHA256:a"}, true},
		"two keys":                                {Signer{Key: "SHA256:a"}, Signer{Key: "SHA256:b"}, false},
		"one identity, two keys":                  {Signer{Key: "SHA256:a", Identity: mail}, Signer{Key: "SHA256:b", Identity: mail}, true},
		"two identities, one key":                 {Signer{Key: "SHA256:a", Identity: mail}, Signer{Key: "SHA256:a", Identity: page}, true},
		"an identity and the same key bare":       {Signer{Key: "SHA256:a", Identity: mail}, Signer{Key: "SHA256:a"}, true},
		"two identities, two keys":                {Signer{Key: "SHA256:a", Identity: mail}, Signer{Key: "SHA256:b", Identity: page}, false},
		"two certificates with both names":        {Signer{Key: "SHA256:a", Identity: mail, Names: both}, Signer{Key: "SHA256:b", Identity: page, Names: both}, true},
		"one of two names":                        {Signer{Key: "SHA256:a", Identity: mail, Names: both}, Signer{Key: "SHA256:b", Identity: page}, true},
		"one name by two providers":               {Signer{Key: "SHA256:a", Identity: mail}, Signer{Key: "SHA256:b", Identity: Identity{Issuer: "other", Subject: mail.Subject}}, false},
		"names that no provider stands behind":    {Signer{Key: "SHA256:a", Names: both}, Signer{Key: "SHA256:b", Names: both}, false},
		"identities without a key":                {Signer{Identity: mail}, Signer{Identity: page}, false},
		"an identity that is called like the key": {Signer{Key: "SHA256:a", Identity: Identity{Issuer: "i", Subject: "SHA256:b"}}, Signer{Key: "SHA256:b"}, false},
	} {
		got := slices.ContainsFunc(c.a.IDs(), func(id string) bool { return slices.Contains(c.b.IDs(), id) })
		if got != c.same {
			t.Errorf("%s: same = %v, want %v", name, got, c.same)
		}
		if !slices.IsSorted(c.a.IDs()) {
			t.Errorf("%s: %q is not sorted", name, c.a.IDs())
		}
	}
}

// T12: evidence must name the repository that was asked for, or the one that an explicit mapping gives.
func TestT12_SignedRepository(t *testing.T) {
	ref := image.MustParse("mirror.example/acme/prod/app:1")
	remap := func(from, to string) SignedRepository {
		return SignedRepository{Remap: &RepositoryRemap{From: from, To: to}}
	}
	for name, c := range map[string]struct {
		rule SignedRepository
		want string
	}{
		"zero":                        {SignedRepository{}, "mirror.example/acme/prod/app"},
		"match":                       {SignedRepository{Mode: "match"}, "mirror.example/acme/prod/app"},
		"exact":                       {SignedRepository{Exact: "registry.example/app"}, "registry.example/app"},
		"a mapping of a host":         {remap("registry.example", "mirror.example"), "registry.example/acme/prod/app"},
		"a mapping of Docker Hub":     {remap("docker.io", "mirror.example"), "docker.io/acme/prod/app"},
		"a mapping of a folder":       {remap("registry.example/x", "mirror.example/acme"), "registry.example/x/prod/app"},
		"a mapping with a slash":      {remap("registry.example/x/", "mirror.example/acme/"), "registry.example/x/prod/app"},
		"a mapping of half a segment": {remap("registry.example", "mirror.example/ac"), "mirror.example/acme/prod/app"},
		"a mapping of another host":   {remap("registry.example", "mirror.example.evil"), "mirror.example/acme/prod/app"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.rule.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := c.rule.Want(ref); got != c.want || c.rule.Ignored() {
				t.Errorf("Want = %q, ignored %v, want %q", got, c.rule.Ignored(), c.want)
			}
		})
	}
	if !(SignedRepository{Mode: "ignore"}).Ignored() {
		t.Error("ignore is not ignored")
	}
}

func TestSignedRepositoryRefuses(t *testing.T) {
	for name, rule := range map[string]SignedRepository{
		"exact and remap":      {Exact: "registry.example/a", Remap: &RepositoryRemap{From: "a.example", To: "b.example"}},
		"no canonical name":    {Exact: "REGISTRY.example/a"},
		"a short name":         {Exact: "alpine"},
		"a tag":                {Exact: "registry.example/a:1"},
		"a mapping to nothing": {Remap: &RepositoryRemap{From: "a.example"}},
		"a mapping of nothing": {Remap: &RepositoryRemap{To: "a.example"}},
		"a mapping with case":  {Remap: &RepositoryRemap{From: "A.example", To: "b.example"}},
	} {
		if err := rule.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	var s SignedRepository
	for _, word := range append(s.Enum(), "Match", "", "any") {
		err := s.UnmarshalText([]byte(word))
		if known := word == "match" || word == "ignore"; (err == nil) != known {
			t.Errorf("UnmarshalText(%q) = %v", word, err)
		}
	}
}
