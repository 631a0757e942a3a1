package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/workload"
)

// Limits of a text for a person, in bytes.
const (
	maxLine  = 400
	maxWords = 8 << 10 // of all of it
)

// authorize decides about one request.
func (h *Handler) authorize(ctx context.Context, r *request) answer {
	if reads(r.RequestMethod) {
		return answer{Allow: true}
	}
	c, err := parse(r)
	if err != nil {
		return h.cannotRead(ctx, r, err)
	}
	a := h.obey(ctx, c)
	if a.Allow && c.route.makes() {
		h.builds.begin(ctx, c)
	}
	return a
}

// obey decides about a request whose route was looked for.
func (h *Handler) obey(ctx context.Context, c *call) answer {
	switch c.route.class {
	case ordinary:
		return answer{Allow: true}
	case switched:
		return h.bySwitch(ctx, c, c.route.by)
	case create, start, rename, pull, service:
		return h.images(ctx, c)
	}
	return h.refuse(ctx, c.request, UnknownRoute, fmt.Sprintf(
		"%s %s: no route of the engine that Assay knows, so that it is denied\nnext: if it is a new one, take a newer Assay; if it is a slip, correct the path",
		clip(c.RequestMethod), clip(c.RequestURI)))
}

func (h *Handler) cannotRead(ctx context.Context, r *request, err error) answer {
	return h.refuse(ctx, r, Malformed, fmt.Sprintf(
		"%s %s: denied as it is written: %v\nnext: ask with a current docker client, or in exactly the form that the API's documentation has",
		clip(r.RequestMethod), clip(r.RequestURI), err))
}

// bySwitch answers by what the settings say.
func (h *Handler) bySwitch(ctx context.Context, c *call, name string) answer {
	text := fmt.Sprintf("%s %s: %s is switched off on this host (routes: %s=deny)\nnext: ask whoever runs this host; the settings of Assay can allow it with %s=allow",
		clip(c.RequestMethod), clip(c.RequestURI), about(name), name, name)
	switch h.actions[name] {
	case Allow:
		return answer{Allow: true}
	case Warn:
		h.tell(ctx, slog.LevelInfo, "allowed", c.request, SwitchedOff, text)
		return answer{Allow: true}
	}
	return h.refuse(ctx, c.request, SwitchedOff, text)
}

func about(name string) string {
	for _, s := range Switches() {
		if s.Name == name {
			return s.What
		}
	}
	return name
}

// images answers a request that is about images.
func (h *Handler) images(ctx context.Context, c *call) answer {
	select {
	case h.deciding <- struct{}{}:
		defer func() { <-h.deciding }()
	default:
		return h.refuse(ctx, c.request, Overloaded, "could not tell: too many requests are being decided about at once\nnext: try again")
	}
	q, err := c.question()
	if err != nil {
		return h.cannotRead(ctx, c.request, err)
	}
	switch {
	case q.imports:
		return h.bySwitch(ctx, c, "import")
	case q.all:
		// What is pulled is decided about where a container is made of it: to allow this gives nobody anything that runs.
		return h.bySwitch(ctx, c, "pullAllTags")
	case c.query.Has("checkpoint") || c.query.Has("checkpoint-dir"):
		if a := h.bySwitch(ctx, c, "checkpoint"); !a.Allow {
			return a
		}
	}
	if name, holds := q.holds(); holds {
		return h.holding(ctx, c, name, q.gives != "", func() answer { return h.decide(ctx, c, q) })
	}
	return h.decide(ctx, c, q)
}

// holds returns the name of a container that must not change hands before the daemon has obeyed. A whole ID cannot.
func (q *question) holds() (name string, holds bool) {
	switch {
	case q.gives != "":
		return q.gives, true
	case q.container != "":
		return called(q.container), !wholeID(q.container)
	}
	return "", false
}

// holding decides about a request while what a name stands for stays the same. The claim ends when the daemon tells that it has obeyed, or here if it
// must not.
func (h *Handler) holding(ctx context.Context, c *call, name string, gives bool, decide func() answer) (a answer) {
	if !h.names.begin(name, c.id(), gives) {
		return h.refuse(ctx, c.request, NameMoves, fmt.Sprintf(
			"could not tell: a container is being started as %s, and another is being called so\nnext: try again, or name the container by its ID", clip(name)))
	}
	defer func() {
		if a.Allow {
			h.names.allow(c.id())
		} else {
			h.names.end(c.id())
		}
	}()
	return decide()
}

// decide has every image decided about, and answers.
func (h *Handler) decide(ctx context.Context, c *call, q *question) answer {
	var verdicts []engine.Verdict
	switch {
	case c.route.class == rename:
		return answer{Allow: true}
	case q.container != "":
		found, err := h.find(ctx, q.container)
		if errors.Is(err, workload.ErrAbsent) {
			// In the daemon's words, and yet not left to the daemon: between this answer and its own look the container may have been made, under
			// whatever name or ID was asked for (a name may look like an ID), of an image that its name meant only for that moment. This start is
			// what would have found that out.
			return h.refuse(ctx, c.request, Absent, fmt.Sprintf("No such container: %s\nnext: docker ps -a lists the containers that there are", clip(q.container)))
		}
		if err == nil {
			if err := ambiguous(q.container, &found); err != nil {
				return h.cannotRead(ctx, c.request, err)
			}
		}
		verdicts = h.started(ctx, c, q, found, err)
	default:
		verdicts = h.ask(ctx, c, q, h.named(q), q.images)
	}
	if enforce.OfAll(verdicts) == enforce.Yes {
		return answer{Allow: true}
	}
	return answer{Msg: h.words(c, verdicts)}
}

// ask has images decided about, in the way that way makes of the point's own.
func (h *Handler) ask(ctx context.Context, c *call, q *question, way func(enforce.Decider) enforce.Decider, images []string) []engine.Verdict {
	point := *h.config.Point
	point.Decider = way(point.Decider)
	requests := make([]engine.Request, len(images))
	for i, name := range images {
		requests[i].Image, requests[i].Point, requests[i].Platform = name, Name, q.platform
		requests[i].Signed = true // what is pulled is compared with it before it runs
	}
	o := &enforce.Occasion{RequestID: enforce.RequestID(""), User: c.User, Operation: q.operation, Kind: q.kind, Name: q.name}
	return point.DecideFor(ctx, o, requests...)
}

// named is the way to decide about images that a request names.
func (h *Handler) named(q *question) func(enforce.Decider) enforce.Decider {
	switch q.kind {
	case "image":
		return func(next enforce.Decider) enforce.Decider { return next } // what was pulled is decided about when a container is made of it
	case "service":
		return whole
	}
	return h.onHost(h.config.Daemon.Image)
}

// onHost is the way to decide about images of this host, which look finds.
func (h *Handler) onHost(look lookFunc) func(enforce.Decider) enforce.Decider {
	return func(next enforce.Decider) enforce.Decider { return &content{handler: h, next: next, look: look} }
}

// find asks the daemon for a container.
func (h *Handler) find(ctx context.Context, name string) (workload.DockerContainer, error) {
	limit := h.config.Point.Timeout
	if limit <= 0 {
		limit = enforce.DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return h.config.Daemon.Container(ctx, name)
}

// started decides about a container that exists: about the image that it has, by the name that this was asked for when the container was made.
// err says why it could not be told which one it is.
func (h *Handler) started(ctx context.Context, c *call, q *question, found workload.DockerContainer, err error) []engine.Verdict {
	if err != nil {
		return h.ask(ctx, c, q, func(enforce.Decider) enforce.Decider {
			return decider(func(_ context.Context, req engine.Request) engine.Verdict { return undecided(req, err) })
		}, []string{q.container})
	}
	if q.name = found.Name; q.name == "" {
		q.name = q.container
	}
	named := found.Named
	if named == "" {
		named = found.Image.String()
	}
	verdicts := h.ask(ctx, c, q, h.onHost(func(ctx context.Context, _ string) (workload.DockerImage, error) {
		held, err := h.config.Daemon.Image(ctx, found.Image.String())
		if errors.Is(err, workload.ErrAbsent) { // its names are gone; what runs is still this
			held, err = workload.DockerImage{ID: found.Image}, nil
		}
		if err == nil && held.ID != found.Image {
			err = fmt.Errorf("image %s: the engine answers with %s", found.Image, held.ID)
		}
		return held, err
	}), []string{named})
	if len(found.Mounts) == 0 {
		return verdicts
	}
	return append(verdicts, h.ask(ctx, c, q, func(next enforce.Decider) enforce.Decider {
		return decider(func(ctx context.Context, req engine.Request) engine.Verdict {
			if err := fixed(req.Image); err != nil {
				return denied(req, "%v", err)
			}
			return h.onHost(h.config.Daemon.Image)(next).Decide(ctx, req)
		})
	}, found.Mounts)...)
}

// ambiguous says why what was asked for could stand for another container than the one that was found, by the time that the daemon looks.
// That no container gets its name meanwhile is seen to; that the found one loses it is not, and it may remove itself.
func ambiguous(asked string, found *workload.DockerContainer) error {
	switch {
	case found.ID == asked:
		return nil
	case wholeID(asked), found.Shadows:
		return odd("%s: the name of one container, and the ID of another or its beginning; name it by its own whole ID, %s", clip(asked), clip(found.ID))
	case called(asked) != found.Name && !strings.HasPrefix(found.ID, asked):
		return odd("%s: another name of the container %s, as links give them; name it by its own, or by its ID", clip(asked), clip(found.Name))
	}
	return nil
}

// words tells a person why a request was refused.
func (h *Handler) words(c *call, verdicts []engine.Verdict) string {
	var parts []string
	for i := range verdicts {
		if text := enforce.Refusal(&verdicts[i]); text != "" {
			if d := verdicts[i].Digest; !d.IsZero() {
				text += "\ndigest: " + d.String()
			}
			parts = append(parts, text)
		}
	}
	if user := c.who(); user != "" {
		parts = append(parts, "asked by: "+clip(user))
	}
	return clean(strings.Join(parts, "\n"))
}

// clean makes a text harmless line by line, and cuts it.
func clean(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = enforce.Plain(lines[i])
	}
	return cut(strings.Join(lines, "\n"), maxWords)
}

// cut ends a text that is too long, between characters.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + "…"
}
