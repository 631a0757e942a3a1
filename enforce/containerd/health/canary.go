package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Outcome is what became of a canary. The zero outcome is the alarm.
type Outcome int

// The outcomes.
const (
	Passed  Outcome = iota // it was pulled, or containerd began to
	Unclear                // it was not pulled, and not for Assay's word
	Refused                // Assay refused it
)

var outcomeWords = [...]string{"passed", "unclear", "refused"}

// String returns one word.
func (o Outcome) String() string {
	if o < 0 || int(o) >= len(outcomeWords) {
		return outcomeWords[Passed]
	}
	return outcomeWords[o]
}

// Sighting is a canary's end.
type Sighting struct {
	Outcome Outcome
	Image   string
	Text    string // why
	Hint    string
	Untold  bool // it was refused because nobody could tell
}

// removeWithin is how long a canary that passed may take to be removed.
const removeWithin = 30 * time.Second

// Canary has a containerd pull an image of which nobody has heard, from a registry that lives as long as the pull. address is where that registry listens:
// a loopback address, which containerd asks in plain HTTP; port 0 is any. Nothing stays: an image that passed is removed.
func Canary(ctx context.Context, c *Client, address string) Sighting {
	if host, _, err := net.SplitHostPort(address); err != nil || !net.ParseIP(host).IsLoopback() {
		return Sighting{Outcome: Unclear, Text: fmt.Sprintf("the canary's registry cannot listen at %q, which is no loopback address", address)}
	}
	b, err := lay(address)
	if err != nil {
		return Sighting{Outcome: Unclear, Text: "the canary's registry: " + err.Error()}
	}
	defer b.close()
	err = c.pull(ctx, b.name)
	s := judge(b.name, b.digest, err, b.sight())
	if s.Outcome == Passed {
		s.Text += c.discard(ctx, b.name)
	}
	return s
}

// CanaryOf has a containerd pull an image of a registry that nobody vouches for; its name is the long form that containerd gives to all. If it passes,
// the names that it got by that are removed: what it was called before is somebody else's.
func CanaryOf(ctx context.Context, c *Client, image string) Sighting {
	before, err := c.listed(ctx)
	if err != nil {
		return unclear(image, err)
	}
	s := judge(image, "", c.pull(ctx, image), seen{manifests: true})
	if s.Outcome == Passed && !slices.ContainsFunc(before, func(i Image) bool { return i.Name == image }) {
		s.Text += c.discardNew(ctx, image, before)
	}
	return s
}

// discardNew removes the names that an image has and that were not there before.
func (c *Client) discardNew(ctx context.Context, image string, before []Image) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer cancel()
	after, err := c.listed(ctx)
	if err != nil {
		return "; it could not be removed: " + told(err)
	}
	at := slices.IndexFunc(after, func(i Image) bool { return i.Name == image })
	if at < 0 {
		return "; it could not be removed: there is none of this name"
	}
	for _, i := range after {
		if i.Digest != after[at].Digest || slices.ContainsFunc(before, func(b Image) bool { return b.Name == i.Name }) {
			continue
		}
		if _, err := c.call(ctx, deleteMethod, message{}.with(1, i.Name)); err != nil {
			return "; it could not be removed: " + told(err)
		}
	}
	return "; it was removed again"
}

// discard removes a canary that passed, also where the time for it was up.
func (c *Client) discard(ctx context.Context, image string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer cancel()
	if err := c.remove(ctx, image); err != nil {
		return "; it could not be removed: " + told(err)
	}
	return "; it was removed again"
}

// Signed has a containerd pull an image that must pass.
func Signed(ctx context.Context, c *Client, image string) Finding {
	const about = "signed"
	err := c.pull(ctx, image)
	if err == nil {
		return sayf(about, Fine, "%s is pulled", image)
	}
	return sayf(about, Unknown, "%s should be pulled, and is not: %s", image, told(err)).
		hinting("if Assay refused it, so does assay verify --node SOCKET --point containerd " + image + ", which says why at length")
}

// refusal is how containerd tells that a verifier refused: what, which verifier, and in which words.
const refusal = `(?s)image verifier \S+ blocked pull of (\S+) with digest (\S+) for reason: verifier (.+?) rejected image \(exit code (\d+)\): ?(.*)$`

// deniedCode is the exit code of Assay's verifier where somebody decided; with others nobody could tell.
const deniedCode = "1"

// ours begins what Assay's verifier says.
const ours = "assay: "

// judge says what the end of a pull means. Of an image whose digest is known, only the refusal of that counts: whoever stands between, as a
// mirror, can have containerd say what looks like another one.
func judge(image, digest string, err error, asked seen) Sighting {
	s := Sighting{Image: image}
	switch {
	case err == nil:
		s.Text = "it was pulled"
		s.Hint = "does containerd run with the settings that were looked at (it reads them at its start only), and does no policy allow the image, or only warn or audit?"
		return s
	case asked.blobs:
		s.Text = "containerd began to pull it, and failed: " + told(err)
		s.Hint = "containerd asks verifiers before it asks for content: here it did not"
		return s
	}
	m := regexp.MustCompile(refusal).FindStringSubmatch(told(err))
	if m != nil && digest != "" && (m[1] != image || m[2] != digest) {
		m = nil
	}
	switch {
	case m == nil && away(err):
		s = unclear(image, err)
		s.Hint = "does containerd run, and may this user connect to its socket?"
		return s
	case m == nil && !asked.manifests && !noKubelet(err):
		s = unclear(image, err)
		s.Hint = "containerd did not come to the canary's registry on loopback: with another network, a mirror of all registries or a proxy, assay doctor containerd --canary takes an image of a registry"
		return s
	case m == nil:
		return unclear(image, err)
	case !strings.HasPrefix(m[5], ours):
		return Sighting{Outcome: Unclear, Image: image, Text: fmt.Sprintf("refused by %s, and not by Assay: %s", m[3], m[5])}
	}
	s = Sighting{Outcome: Refused, Image: image, Text: strings.TrimPrefix(m[5], ours), Untold: m[4] != deniedCode}
	if s.Untold {
		s.Hint = "so may all images be; --signed IMAGE says whether one that somebody vouched for passes"
	}
	return s
}

func unclear(image string, err error) Sighting {
	s := Sighting{Outcome: Unclear, Image: image, Text: told(err)}
	if noKubelet(err) {
		s.Text = "containerd has no services for a kubelet, by which the canary is pulled"
		s.Hint = `the plugins "io.containerd.grpc.v1.cri" and "io.containerd.cri.v1.images" serve them`
	}
	if errors.Is(err, context.DeadlineExceeded) {
		s.Hint = "--timeout gives it more time"
	}
	return s
}

// Finding says the same for people.
func (s Sighting) Finding() Finding {
	const about = "canary"
	f := Finding{About: about, Hint: s.Hint}
	switch s.Outcome {
	case Refused:
		f.State, f.Text = Fine, fmt.Sprintf("%s is refused: %s", s.Image, s.Text)
		if s.Untold {
			f.State = Doubtful
		}
	case Unclear:
		f.State, f.Text = Unknown, strings.TrimPrefix(fmt.Sprintf("%s: %s", s.Image, s.Text), ": ")
	default:
		f.State, f.Text = Wrong, fmt.Sprintf("%s may run, and nobody vouches for it: %s", s.Image, s.Text)
	}
	return f
}
