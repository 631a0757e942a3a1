package trusttest_test

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/assay-dev/assay/image"
	"github.com/assay-dev/assay/trust"
	"github.com/assay-dev/assay/trust/trusttest"
)

const toyType = "application/vnd.toy"

// word is a toy signature: under a tag, or as a referrer.
type word struct {
	Subject   subject `json:"subject"`
	Published string  `json:"published"`
	By        string  `json:"by"`
	MAC       string  `json:"mac"`
}

type subject struct {
	Digest string `json:"digest"`
}

func say(by string, d image.Digest, published int) []byte {
	w := word{Subject: subject{d.String()}, Published: fmt.Sprintf("%08d", published), By: by, MAC: mac(by, d)}
	content, err := json.Marshal(w)
	if err != nil {
		panic(err)
	}
	return content
}

func mac(by string, d image.Digest) string {
	h := hmac.New(sha256.New, []byte(by))
	h.Write([]byte(d.String()))
	return hex.EncodeToString(h.Sum(nil))
}

// toy is a format that looks in two places side by side, so that the suite itself is tested.
type toy struct{}

var (
	_ trust.Authority = toy{}
	_ trust.Searcher  = toy{}
)

func (a toy) Find(ctx context.Context, src trust.Source, ref image.Ref) (trust.Evidence, error) {
	return a.Search(ctx, src, ref, func(trust.Evidence) bool { return false })
}

// found is one piece, or why a place could not be looked at.
type found struct {
	item trust.Item
	left int
	err  error
}

func (toy) Search(ctx context.Context, src trust.Source, ref image.Ref, enough func(trust.Evidence) bool) (trust.Evidence, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all := make(chan found)
	places := []func(context.Context, trust.Source, image.Ref, func(found)){lookAtTag, lookAtReferrers}
	for _, place := range places {
		go func() {
			place(ctx, src, ref, func(f found) {
				select {
				case all <- f:
				case <-ctx.Done():
				}
			})
			select {
			case all <- found{err: errDone}:
			case <-ctx.Done():
			}
		}()
	}
	return collect(ctx, all, len(places), enough)
}

var errDone = errors.New("done")

func collect(ctx context.Context, all <-chan found, open int, enough func(trust.Evidence) bool) (trust.Evidence, error) {
	var ev trust.Evidence
	for open > 0 {
		select {
		case <-ctx.Done():
			return trust.Evidence{}, ctx.Err()
		case f := <-all:
			switch {
			case f.err == errDone:
				open--
				continue
			case f.err != nil:
				return trust.Evidence{}, f.err
			}
			ev.Left += f.left
			ev.Items = append(ev.Items, f.item)
			if enough(ev) {
				return ev, nil
			}
		}
	}
	if len(ev.Items) == 0 {
		return ev, trust.ErrUnsigned
	}
	return ev, nil
}

func toyTag(ref image.Ref) image.Ref {
	tagged, err := ref.At(image.Digest{}).Tagged("toy-" + ref.Digest().Hex())
	if err != nil {
		panic(err)
	}
	return tagged
}

func lookAtTag(ctx context.Context, src trust.Source, ref image.Ref, tell func(found)) {
	m, err := src.Manifest(ctx, toyTag(ref))
	switch {
	case errors.Is(err, trust.ErrNotFound):
	case err != nil:
		tell(found{err: err})
	default:
		tell(found{item: trust.Item{Name: "tag", MediaType: m.MediaType, Bytes: m.Bytes}})
	}
}

func lookAtReferrers(ctx context.Context, src trust.Source, ref image.Ref, tell func(found)) {
	list, err := src.Referrers(ctx, ref)
	if err != nil {
		tell(found{err: err})
		return
	}
	list = slices.DeleteFunc(list, func(d trust.Descriptor) bool { return d.MediaType != toyType })
	slices.SortFunc(list, func(a, b trust.Descriptor) int {
		return cmp.Or(-cmp.Compare(a.Annotations["published"], b.Annotations["published"]), cmp.Compare(a.Digest.String(), b.Digest.String()))
	})
	left := max(0, len(list)-trust.MaxSignatures)
	for _, d := range list[:len(list)-left] {
		m, err := src.Manifest(ctx, ref.At(d.Digest))
		if err != nil {
			tell(found{err: err})
			return
		}
		tell(found{item: trust.Item{Name: d.Digest.String(), MediaType: m.MediaType, Bytes: m.Bytes}, left: left})
		left = 0
	}
}

func (toy) Check(ref image.Ref, ev trust.Evidence, _ time.Time) ([]trust.Proof, error) {
	for _, item := range ev.Items {
		var w word
		if json.Unmarshal(item.Bytes, &w) != nil || w.By != "good" || w.MAC != mac("good", ref.Digest()) {
			continue
		}
		return []trust.Proof{{Digest: ref.Digest(), Signers: []trust.Signer{{Key: strings.Clone(w.By)}}}}, nil
	}
	return nil, trust.Untrusted("nobody who counts")
}

// refer publishes a word as a referrer of ref.
func refer(src *trusttest.Source, ref image.Ref, content []byte, published int) {
	d := src.PutManifest(ref.At(image.Digest{}), toyType, content)
	src.PutReferrer(ref, trust.Descriptor{
		MediaType: toyType, Digest: d, Size: int64(len(content)), Annotations: map[string]string{"published": fmt.Sprintf("%08d", published)},
	})
}

// The suite passes a format that looks in two places; testdata/mutants.json has it refuse worse ones.
func TestToy(t *testing.T) {
	for name, publish := range map[string]func(src *trusttest.Source, ref image.Ref, content []byte){
		"tag": func(src *trusttest.Source, ref image.Ref, content []byte) {
			src.PutManifest(toyTag(ref), toyType, content)
		},
		"referrers": func(src *trusttest.Source, ref image.Ref, content []byte) { refer(src, ref, content, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			trusttest.Run(t, trusttest.Suite{
				Authority: func(*testing.T) trust.Authority { return toy{} },
				Now:       time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC),
				Publish: func(_ *testing.T, src *trusttest.Source, ref image.Ref) {
					publish(src, ref, say("good", ref.Digest(), 1))
				},
				PublishForeign: func(_ *testing.T, src *trusttest.Source, ref image.Ref) {
					refer(src, ref, say("mallory", ref.Digest(), 2), 2)
				},
				PublishCopy: func(_ *testing.T, src *trusttest.Source, ref, of image.Ref) {
					publish(src, ref, say("good", of.Digest(), 1))
				},
				PublishMalformed: map[string]func(*testing.T, *trusttest.Source, image.Ref){
					"no JSON": func(_ *testing.T, src *trusttest.Source, ref image.Ref) { publish(src, ref, []byte("{")) },
				},
				PublishFlood: func(_ *testing.T, src *trusttest.Source, ref image.Ref, n int) {
					for i := range n {
						refer(src, ref, say(fmt.Sprint("junk", i), ref.Digest(), i), i)
					}
					refer(src, ref, say("good", ref.Digest(), n), n)
				},
			})
		})
	}
}

// A referrer can be listed that is not stored, or that says something else than the list.
func TestPutReferrer(t *testing.T) {
	src := new(trusttest.Source)
	ref := image.MustParse("registry.example/app@" + image.SHA256([]byte("app")).String())
	stored := src.PutManifest(ref.At(image.Digest{}), toyType, say("good", ref.Digest(), 1))
	dangling := image.SHA256([]byte("not stored"))
	src.PutReferrer(ref, trust.Descriptor{MediaType: "lie", Digest: stored})
	src.PutReferrer(ref, trust.Descriptor{MediaType: toyType, Digest: dangling})
	src.PutReferrer(ref.At(dangling), trust.Descriptor{MediaType: toyType, Digest: stored})
	list, err := src.Referrers(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	types := map[image.Digest]string{}
	for _, d := range list {
		types[d.Digest] = d.MediaType
	}
	if len(list) != 2 || types[stored] != "lie" || types[dangling] != toyType {
		t.Errorf("got %v", list)
	}
	if _, err := src.Manifest(t.Context(), ref.At(dangling)); !errors.Is(err, trust.ErrNotFound) {
		t.Errorf("dangling: error %v, want %v", err, trust.ErrNotFound)
	}
}
