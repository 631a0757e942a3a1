package docker

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/image"
)

// firstVersion is the oldest version of the engine's API whose requests are read: 1.24. Older ones carry parts of a container in the start of
// it.
const firstVersion = 24

// question is what a request asks the daemon to do with images.
type question struct {
	operation string // create, start, restart, pull, service create, service update
	kind      string // container, service, image
	name      string // of the container or service; "" if it has none
	images    []string
	platform  string // that was asked for
	container string // that is to be started or renamed
	gives     string // name that a container gets
	all       bool   // all tags of a repository
	imports   bool   // no image is named: one is made of an archive
}

// odd says that a request could be read in two ways, or that the daemon reads of it what the point cannot see.
func odd(format string, args ...any) error { return fmt.Errorf(format, args...) }

// call is a request whose route is known.
type call struct {
	*request
	route route
	name  string // in the path
	query url.Values
}

// parse reads the line of a request once, as the daemon does.
func parse(r *request) (*call, error) {
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return nil, odd("the address of the request cannot be read: %v", err)
	}
	c := &call{request: r}
	c.route, c.name = find(r.RequestMethod, u.Path)
	if c.route.class == unknown || c.route.class == ordinary {
		return c, nil
	}
	if err := recent(version(cleaned(u.Path))); err != nil {
		return nil, err
	}
	if c.query, err = url.ParseQuery(u.RawQuery); err != nil {
		return nil, odd("the parameters of the request cannot be read: %v", err)
	}
	return c, nil
}

// recent refuses versions of the API that are read in other ways.
func recent(version string) error {
	if version == "" {
		return nil
	}
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	m, err := strconv.Atoi(major)
	n, err2 := strconv.Atoi(minor)
	switch {
	case err != nil || err2 != nil:
		return odd("version %s of the API is none", version)
	case m < 1 || m == 1 && n < firstVersion:
		return odd("version %s of the API is too old to be decided about; use a client of version 1.%d or newer", version, firstVersion)
	}
	return nil
}

// question reads what is asked about images.
func (c *call) question() (*question, error) {
	switch c.route.class {
	case create:
		return c.create()
	case start:
		return c.start()
	case rename:
		return c.rename()
	case pull:
		return c.pull()
	case service:
		return c.service()
	}
	return nil, fmt.Errorf("docker: %s %s names no images", c.route.method, c.route.path)
}

// parameters refuses those that are not known, and those that stand there twice but may not.
func (c *call) parameters(once ...string) error {
	for name, values := range c.query {
		switch {
		case !slices.Contains(once, name):
			return odd("parameter %q is not known here", clip(name))
		case len(values) > 1 && name != "changes":
			return odd("parameter %q is given %d times", clip(name), len(values))
		}
	}
	return nil
}

// bodiless refuses a body, which would not be shown: the daemon reads parameters of a form from it, and they win over those of the address.
// Without a length there may be one of any length, unless no type says that it is a form. Of a header that is given twice only the last is shown, but a
// length is given once.
func (c *call) bodiless() error {
	length, counted := c.header("Content-Length")
	kind, typed := c.header("Content-Type")
	if media, _, _ := strings.Cut(strings.ToLower(kind), ";"); strings.Contains(media, "form") {
		return odd("a body of the type %s: parameters in a form body are not shown to plugins; give them in the address", clip(kind))
	}
	switch {
	case counted && length != "0", len(c.RequestBody) > 0:
		return odd("a body where none belongs")
	case !counted && typed:
		return odd("a body of the type %s without a length, where none belongs", clip(kind))
	}
	return nil
}

func (c *call) header(name string) (string, bool) {
	for key, value := range c.RequestHeaders {
		if strings.EqualFold(key, name) {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

// body decodes the JSON of a request. known says what stands in objects whose members the daemon takes in any case; see unique.
func (c *call) body(into any, members ...string) error {
	if len(c.RequestBody) == 0 {
		return odd("no body was shown to Assay, where the daemon reads one: it is empty, has no JSON type, or is larger than the engine shows to plugins (1 MiB, or 4 MiB from 25.0.16 and 29.3.1 on)")
	}
	if err := unique(c.RequestBody, members); err != nil {
		return odd("the body: %v", err)
	}
	if err := json.Unmarshal(c.RequestBody, into); err != nil {
		return odd("the body: %v", err)
	}
	return nil
}

// mount is a mount of a container; one of the type image shows the files of an image.
type mount struct{ Type, Source string }

func mounted(mounts []mount) []string {
	var names []string
	for _, m := range mounts {
		if strings.EqualFold(m.Type, "image") {
			names = append(names, m.Source)
		}
	}
	return names
}

// create reads POST /containers/create.
func (c *call) create() (*question, error) {
	if err := c.parameters("name", "platform"); err != nil {
		return nil, err
	}
	var body struct {
		Image      string
		HostConfig struct{ Mounts []mount }
		Mounts     []mount // old engines take members of HostConfig here too
	}
	if err := c.body(&body, "HostConfig", "HostConfig.Mounts", "Mounts"); err != nil {
		return nil, err
	}
	q := &question{operation: "create", kind: "container", name: c.query.Get("name"), platform: c.query.Get("platform")}
	mounts := mounted(append(body.HostConfig.Mounts, body.Mounts...))
	for _, name := range mounts {
		if err := fixed(name); err != nil {
			return nil, err
		}
	}
	q.images = append([]string{body.Image}, mounts...)
	if err := readable(q.images); err != nil {
		return nil, err
	}
	q.gives = called(q.name)
	return q, nameable(q.gives)
}

// fixed refuses the name of an image that can mean another one later: the daemon mounts what it means when the container is made, and does not
// say what that was.
func fixed(name string) error {
	if strings.Contains(name, "@") || wholeID(strings.TrimPrefix(name, "sha256:")) {
		return nil
	}
	return odd("%s: a mount names its image by digest, because nobody can tell later what a tag meant; write %s@sha256:…", clip(name), clip(name))
}

// nameable refuses names of containers that could be taken for the ID of another one.
func nameable(name string) error {
	switch {
	case len(name) > maxNameLength:
		return odd("the name of a container has %d bytes, at most %d are read", len(name), maxNameLength)
	case wholeID(name):
		return odd("a container that is called like an ID")
	}
	return nil
}

// rename reads POST /containers/{id}/rename.
func (c *call) rename() (*question, error) {
	if err := c.parameters("name"); err != nil {
		return nil, err
	}
	q := &question{operation: "rename", kind: "container", name: c.name, container: c.name, gives: called(c.query.Get("name"))}
	if err := nameable(q.gives); err != nil {
		return nil, err
	}
	return q, c.bodiless()
}

// start reads POST /containers/{id}/start and restart.
func (c *call) start() (*question, error) {
	operation := c.route.path[strings.LastIndexByte(c.route.path, '/')+1:]
	if operation == "restart" {
		return &question{operation: operation, kind: "container", name: c.name, container: c.name}, c.parameters("t", "signal")
	}
	if err := c.parameters("detachKeys", "checkpoint", "checkpoint-dir"); err != nil {
		return nil, err
	}
	return &question{operation: operation, kind: "container", name: c.name, container: c.name}, c.bodiless()
}

// pull reads POST /images/create, which imports too.
func (c *call) pull() (*question, error) {
	if err := c.parameters("fromImage", "fromSrc", "repo", "tag", "message", "platform", "changes"); err != nil {
		return nil, err
	}
	from, tag := c.query.Get("fromImage"), c.query.Get("tag")
	if from == "" {
		if kind, _ := c.header("Content-Type"); strings.Contains(strings.ToLower(kind), "form") {
			return nil, odd("a body of the type %s: parameters in a form body are not shown to plugins; give them in the address", clip(kind))
		}
		// Whoever sends two types, a form and then another, hides the form: only the last one is shown, the daemon reads the first, and an archive has no
		// length either. That makes a pull of the import, of an image that nobody was asked about. It gives nothing that the import itself does not
		// give: foreign content on this host, which is decided about when a container is made of it; and the switch stops both.
		return &question{operation: "import", kind: "image", imports: true}, nil
	}
	if err := c.bodiless(); err != nil {
		return nil, err
	}
	if c.query.Has("fromSrc") || c.query.Has("repo") {
		return nil, odd("fromImage beside fromSrc or repo: a pull or an import, not both")
	}
	q := &question{operation: "pull", kind: "image", platform: c.query.Get("platform")}
	name := strings.TrimSuffix(from, ":") // as the daemon does: it is how "all tags" was once asked for
	if err := readable([]string{name}); err != nil {
		return nil, err
	}
	has := tagged(name)
	switch {
	case has && tag != "":
		return nil, odd("the tag or digest is given twice, in fromImage=%s and in tag=%s", clip(from), clip(tag))
	case !has && tag == "":
		q.all = true
	case tag == "":
	case strings.Contains(tag, ":"):
		if _, err := image.ParseDigest(tag); err != nil {
			return nil, odd("tag=%s: %v", clip(tag), err)
		}
		name += "@" + tag
	default:
		name += ":" + tag
	}
	q.images = []string{name}
	return q, readable(q.images)
}

// tagged reports whether a name has a tag or a digest behind its last segment.
func tagged(name string) bool {
	return strings.ContainsAny(name[strings.LastIndexByte(name, '/')+1:], ":@")
}

// service reads POST /services/create and /services/{id}/update.
func (c *call) service() (*question, error) {
	if err := c.parameters("version", "registryAuthFrom", "rollback"); err != nil {
		return nil, err
	}
	if c.query.Get("rollback") != "" {
		return nil, odd("a rollback names no image; update the service to the digest that it had before")
	}
	var body struct {
		Name         string
		TaskTemplate struct {
			Runtime       string
			PluginSpec    json.RawMessage
			ContainerSpec *struct {
				Image  string
				Mounts []mount
			}
		}
	}
	if err := c.body(&body, "TaskTemplate", "TaskTemplate.ContainerSpec", "TaskTemplate.ContainerSpec.Mounts"); err != nil {
		return nil, err
	}
	task := body.TaskTemplate
	if task.Runtime != "" && !strings.EqualFold(task.Runtime, "container") || len(task.PluginSpec) > 0 && string(task.PluginSpec) != "null" {
		return nil, odd("a service of the runtime %q, which runs no image that could be decided about", clip(task.Runtime))
	}
	if task.ContainerSpec == nil {
		return nil, odd("a service without a container's spec names no image")
	}
	q := &question{operation: "service create", kind: "service", name: body.Name}
	if c.name != "" {
		q.operation = "service update"
		if q.name == "" {
			q.name = c.name
		}
	}
	q.images = append([]string{task.ContainerSpec.Image}, mounted(task.ContainerSpec.Mounts)...)
	if err := readable(q.images); err != nil {
		return nil, err
	}
	for _, name := range q.images {
		if !strings.Contains(name, "@") {
			return nil, odd("%s: a service names its image by digest, because each node pulls it by itself; write %s@sha256:…", clip(name), clip(name))
		}
	}
	return q, nil
}

// readable refuses names that no image has. Nobody is asked about them, and no program is ever started for a name.
func readable(names []string) error {
	for _, name := range names {
		switch {
		case name == "":
			return odd("no image is named")
		case len(name) > image.MaxReference:
			return odd("the name of an image has %d characters, at most %d are read", len(name), image.MaxReference)
		case identifies(name):
			continue
		}
		if _, err := image.Parse(name); err != nil {
			return odd("%s: no name of an image: %v", clip(name), err)
		}
	}
	return nil
}

// identifies reports whether a text can only be an ID of an image, or the beginning of one with its algorithm.
func identifies(name string) bool {
	if value, ok := strings.CutPrefix(name, "sha256:"); ok {
		return value != "" && len(value) <= 64 && hexadecimal(value)
	}
	return wholeID(name)
}

// wholeID reports whether a text is an ID of an image or a container without its algorithm, rather than the beginning of one.
func wholeID(text string) bool { return len(text) == 64 && hexadecimal(text) }

func hexadecimal(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// clip shortens foreign text for a message, and makes it harmless.
func clip(s string) string { return cut(enforce.Plain(s), 200) }
