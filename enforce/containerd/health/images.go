package health

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// Limits of what is looked at in a containerd.
const (
	MaxImages = 2000 // names
	maxNamed  = 5    // images that a finding names
)

// Image is an image that a containerd has for the containers of a kubelet.
type Image struct {
	Name      string
	Digest    string // of its index or manifest
	MediaType string
	Size      int64
	Pulled    bool // containerd recorded that this content came from the registry and repository of the name
}

// Images returns the images that are there. That one was pulled is what containerd wrote down at the content, and whoever may use its socket can write that as
// well; and an image that was pulled may have been pulled before anybody asked.
func (c *Client) Images(ctx context.Context) ([]Image, error) {
	images, err := c.listed(ctx)
	if err != nil {
		return nil, err
	}
	for n, i := range images {
		if images[n].Pulled, err = c.pulled(ctx, i); err != nil {
			return nil, err
		}
	}
	return images, nil
}

// listed returns the images that are there; of none it is known whether it was pulled.
func (c *Client) listed(ctx context.Context) ([]Image, error) {
	answer, err := c.call(ctx, "/containerd.services.images.v1.Images/List", nil)
	if err != nil {
		return nil, err
	}
	listed, err := answer.all(1)
	if err != nil {
		return nil, err
	}
	if len(listed) > MaxImages {
		return nil, fmt.Errorf("there are %d names of images, and %d are looked at", len(listed), MaxImages)
	}
	var images []Image
	for _, m := range listed {
		i, err := decodeImage(m)
		if err != nil {
			return nil, err
		}
		images = append(images, i)
	}
	return images, nil
}

func decodeImage(m message) (Image, error) {
	name, err := m.text(1)
	target, err2 := m.one(3)
	kind, err3 := target.text(1)
	digest, err4 := target.text(2)
	size, err5 := target.number(3)
	return Image{Name: name, Digest: digest, MediaType: kind, Size: int64(size)}, errors.Join(err, err2, err3, err4, err5)
}

// sourceLabel begins the labels by which containerd remembers from which repositories of a host a content came.
const sourceLabel = "containerd.io/distribution.source."

// pulled reports whether the content of an image came from where its name says. Of a name that is a number of an image any source will do.
func (c *Client) pulled(ctx context.Context, i Image) (bool, error) {
	answer, err := c.call(ctx, "/containerd.services.content.v1.Content/Info", message{}.with(1, i.Digest))
	if err != nil {
		return false, fmt.Errorf("%s: %s", i.Name, told(err))
	}
	info, err := answer.one(1)
	if err != nil {
		return false, err
	}
	labels, err := info.all(5)
	if err != nil {
		return false, err
	}
	for _, l := range labels {
		key, err := l.text(1)
		value, err2 := l.text(2)
		if err := errors.Join(err, err2); err != nil {
			return false, err
		}
		if i.from(key, value) {
			return true, nil
		}
	}
	return false, nil
}

// from reports whether a label says that the image came from where its name says.
func (i Image) from(key, value string) bool {
	source, ok := strings.CutPrefix(key, sourceLabel)
	if !ok {
		return false
	}
	if i.number() {
		return true
	}
	host, repository := i.repository()
	return source == host && slices.Contains(strings.Split(value, ","), repository)
}

// number reports whether a name is none, but the number by which a kubelet knows an image.
func (i Image) number() bool { return strings.HasPrefix(i.Name, "sha256:") }

// repository splits a name in the long form that containerd gives to all: host, without its port, and path.
func (i Image) repository() (host, path string) {
	name, _, _ := strings.Cut(i.Name, "@")
	host, path, _ = strings.Cut(name, "/")
	if at := strings.LastIndexByte(path, ':'); at > strings.LastIndexByte(path, '/') {
		path = path[:at]
	}
	if strings.HasPrefix(host, "[") {
		host, _, _ = strings.Cut(strings.TrimPrefix(host, "["), "]")
		return host, path
	}
	host, _, _ = strings.Cut(host, ":")
	return host, path
}

// question is what the node daemon is asked about an image.
func (i Image) question() ask.Question {
	return ask.Question{Name: i.Name, Digest: i.Digest, MediaType: i.MediaType, Size: i.Size}
}

// Asker asks the node daemon; an error says that it did not answer.
type Asker func(context.Context, ask.Question) (ask.Answer, error)

// Present says what is known of the images that are there: of those that no pull brought containerd has asked nobody, so the node daemon is asked about
// them; with all of each. node is nil if there is no daemon.
func Present(ctx context.Context, images []Image, node Asker, all bool) []Finding {
	const about = "images"
	var pulled, vouched int
	var stray, unasked, denied, untold []string
	for _, i := range images {
		switch {
		case i.number() && named(images, i.Digest): // its names are looked at
			continue
		case i.Pulled && (!all || i.number()):
			pulled++
			continue
		case node == nil && i.Pulled:
			unasked = append(unasked, i.Name)
			continue
		case node == nil || i.number():
			stray = append(stray, i.Name)
			continue
		}
		a, err := node(ctx, i.question())
		switch {
		case err != nil:
			untold = append(untold, i.Name+": "+err.Error())
		case a.Allowed:
			vouched++
		case a.Meaning == ask.Denied:
			denied = append(denied, i.Name+": "+strings.TrimPrefix(a.Reason, ours))
		default:
			untold = append(untold, i.Name+": "+strings.TrimPrefix(a.Reason, ours))
		}
	}
	var found []Finding
	if len(denied) > 0 {
		found = append(found, sayf(about, Wrong, "here, and nobody vouches for it: %s", several(denied)).hinting("ctr --namespace k8s.io images rm removes one; a container of it runs on"))
	}
	if len(stray) > 0 {
		found = append(found, sayf(about, Wrong, "no pull brought these, and nobody was asked about them: %s", several(stray)).
			hinting("who imports images is asked by nobody: pull them, or let --node ask the daemon about them"))
	}
	if len(unasked) > 0 {
		found = append(found, sayf(about, Unknown, "these were pulled, and there is no node daemon that could be asked about them: %s", several(unasked)))
	}
	if len(untold) > 0 {
		found = append(found, sayf(about, Unknown, "%s", several(untold)))
	}
	if len(found) == 0 {
		found = append(found, sayf(about, Fine, "%s", present(pulled, vouched)))
	}
	return found
}

// named reports whether a content has another name than a number.
func named(images []Image, digest string) bool {
	return slices.ContainsFunc(images, func(i Image) bool { return i.Digest == digest && !i.number() })
}

// present says what is known of images without a fault, and what is not.
func present(pulled, vouched int) string {
	var said []string
	if vouched > 0 {
		said = append(said, fmt.Sprintf("somebody vouches for %d names", vouched))
	}
	if pulled > 0 {
		said = append(said, fmt.Sprintf("%d names were pulled, which may have been before anybody was asked (--present asks about each)", pulled))
	}
	if len(said) == 0 {
		return "none is here"
	}
	return strings.Join(said, "; ")
}

func several(texts []string) string {
	if len(texts) > maxNamed {
		return fmt.Sprintf("%s; and %d more", strings.Join(texts[:maxNamed], "; "), len(texts)-maxNamed)
	}
	return strings.Join(texts, "; ")
}
