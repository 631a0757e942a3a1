package docker

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Action says what becomes of requests that a switch is about. The zero value denies.
type Action int

// The actions.
const (
	Deny  Action = iota
	Allow        // and nothing is said
	Warn         // allow, and log what would have been denied
)

var actionWords = [...]string{"deny", "allow", "warn"}

// String returns the word in settings.
func (a Action) String() string {
	if a < 0 || int(a) >= len(actionWords) {
		return actionWords[Deny]
	}
	return actionWords[a]
}

// ParseAction reads a word of settings.
func ParseAction(word string) (Action, error) {
	if i := slices.Index(actionWords[:], word); i >= 0 {
		return Action(i), nil
	}
	return Deny, fmt.Errorf("%q: want %s", word, strings.Join(actionWords[:], ", "))
}

// Switch is something that requests do and that can be allowed or denied as such.
type Switch struct {
	Name    string
	Default Action
	What    string // it is about, for people
}

// Switches returns all switches. What makes an image is allowed: its result is decided about where a container is made of it. What touches a
// running container is allowed, as users have it today.
func Switches() []Switch {
	return []Switch{
		{"build", Allow, "building images with the classic builder"},
		{"session", Allow, "sessions of BuildKit's clients, by which builds get their files"},
		{"grpc", Allow, "BuildKit's own protocol"},
		{"load", Allow, "loading images from archives"},
		{"import", Allow, "making an image of an archive of files"},
		{"commit", Allow, "making an image of a container"},
		{"tag", Allow, "giving an image another name"},
		{"exec", Allow, "running a command in a running container"},
		{"archive", Allow, "writing files into a container"},
		{"pullAllTags", Deny, "pulling all tags of a repository at once"},
		{"checkpoint", Deny, "starting a container from a checkpoint, whose memory is nobody's image"},
		{"plugins", Deny, "installing, changing, switching and removing plugins of the engine, this one included"},
		{"swarm", Deny, "making, joining, leaving and changing a swarm and its nodes"},
	}
}

// withDefaults completes settings of switches.
func withDefaults(given map[string]Action) (map[string]Action, error) {
	actions := map[string]Action{}
	for _, s := range Switches() {
		actions[s.Name] = s.Default
	}
	names := slices.Sorted(maps.Keys(actions))
	for name, action := range given {
		if _, found := actions[name]; !found {
			return nil, fmt.Errorf("docker: no switch %q among the routes; there are %s", name, strings.Join(names, ", "))
		}
		actions[name] = action
	}
	return actions, nil
}

// class is what a route is to the point. The zero value is that of no route.
type class int

const (
	unknown  class = iota
	ordinary       // names no image and makes none run: allowed
	switched       // by the switch that the route names
	create         // a container of an image
	start          // a container whose image is fixed
	rename         // a container
	pull           // or import
	service        // of a swarm, which pulls by itself
)

// route is one row of the table. Its path is in the words of the engine's API document; "{name}" stands for any text, slashes too, as the
// daemon has it.
type route struct {
	method string
	path   string
	class  class
	by     string // name of the switch
}

// routes is every route of the Docker Engine API that is no GET or HEAD, from 1.24 on.
var routes = []route{
	{"POST", "/auth", ordinary, ""},
	{"POST", "/build", switched, "build"},
	{"POST", "/build/cancel", ordinary, ""},
	{"POST", "/build/prune", ordinary, ""},
	{"POST", "/commit", switched, "commit"},
	{"POST", "/configs/create", ordinary, ""},
	{"POST", "/configs/{id}/update", ordinary, ""},
	{"DELETE", "/configs/{id}", ordinary, ""},
	{"POST", "/containers/create", create, ""},
	{"POST", "/containers/prune", ordinary, ""},
	{"POST", "/containers/{id}/attach", ordinary, ""},
	{"POST", "/containers/{id}/checkpoints", ordinary, ""},
	{"DELETE", "/containers/{id}/checkpoints/{checkpoint}", ordinary, ""},
	{"POST", "/containers/{id}/copy", ordinary, ""},
	{"POST", "/containers/{id}/exec", switched, "exec"},
	{"POST", "/containers/{id}/kill", ordinary, ""},
	{"POST", "/containers/{id}/pause", ordinary, ""},
	{"POST", "/containers/{id}/rename", rename, ""},
	{"POST", "/containers/{id}/resize", ordinary, ""},
	{"POST", "/containers/{id}/restart", start, ""},
	{"POST", "/containers/{id}/start", start, ""},
	{"POST", "/containers/{id}/stop", ordinary, ""},
	{"POST", "/containers/{id}/unpause", ordinary, ""},
	{"POST", "/containers/{id}/update", ordinary, ""},
	{"POST", "/containers/{id}/wait", ordinary, ""},
	{"PUT", "/containers/{id}/archive", switched, "archive"},
	{"DELETE", "/containers/{id}", ordinary, ""},
	{"POST", "/exec/{id}/resize", ordinary, ""},
	{"POST", "/exec/{id}/start", switched, "exec"},
	{"POST", "/grpc", switched, "grpc"},
	{"POST", "/images/create", pull, ""},
	{"POST", "/images/load", switched, "load"},
	{"POST", "/images/prune", ordinary, ""},
	{"POST", "/images/{name}/push", ordinary, ""},
	{"POST", "/images/{name}/tag", switched, "tag"},
	{"DELETE", "/images/{name}", ordinary, ""},
	{"POST", "/networks/create", ordinary, ""},
	{"POST", "/networks/prune", ordinary, ""},
	{"POST", "/networks/{id}/connect", ordinary, ""},
	{"POST", "/networks/{id}/disconnect", ordinary, ""},
	{"DELETE", "/networks/{id}", ordinary, ""},
	{"POST", "/nodes/{id}/update", switched, "swarm"},
	{"DELETE", "/nodes/{id}", switched, "swarm"},
	{"POST", "/plugins/create", switched, "plugins"},
	{"POST", "/plugins/pull", switched, "plugins"},
	{"POST", "/plugins/{name}/disable", switched, "plugins"},
	{"POST", "/plugins/{name}/enable", switched, "plugins"},
	{"POST", "/plugins/{name}/push", switched, "plugins"},
	{"POST", "/plugins/{name}/set", switched, "plugins"},
	{"POST", "/plugins/{name}/upgrade", switched, "plugins"},
	{"DELETE", "/plugins/{name}", switched, "plugins"},
	{"POST", "/secrets/create", ordinary, ""},
	{"POST", "/secrets/{id}/update", ordinary, ""},
	{"DELETE", "/secrets/{id}", ordinary, ""},
	{"POST", "/services/create", service, ""},
	{"POST", "/services/{id}/update", service, ""},
	{"DELETE", "/services/{id}", ordinary, ""},
	{"POST", "/session", switched, "session"},
	{"POST", "/swarm/init", switched, "swarm"},
	{"POST", "/swarm/join", switched, "swarm"},
	{"POST", "/swarm/leave", switched, "swarm"},
	{"POST", "/swarm/unlock", switched, "swarm"},
	{"POST", "/swarm/update", switched, "swarm"},
	{"POST", "/volumes/create", ordinary, ""},
	{"POST", "/volumes/prune", ordinary, ""},
	{"PUT", "/volumes/{name}", ordinary, ""},
	{"DELETE", "/volumes/{name}", ordinary, ""},
}

// makes reports whether requests of a route can make an image, or give one a name.
func (r route) makes() bool {
	switch r.by {
	case "build", "session", "grpc", "load", "commit", "tag":
		return true
	}
	return r.class == pull
}

// reads reports whether a method changes nothing, by the engine's own router: such routes have no other handlers.
func reads(method string) bool { return method == "GET" || method == "HEAD" }

// find returns the route of a request and the name in its path. The path is decoded already.
func find(method, decoded string) (route, string) {
	rest := unversioned(cleaned(decoded))
	for _, r := range routes {
		if r.method != method {
			continue
		}
		if name, ok := r.matches(rest); ok {
			return r, name
		}
	}
	return route{}, ""
}

// matches reports whether a path is one of r's, and what stands in the place of its first name.
func (r route) matches(p string) (string, bool) {
	before, behind, named := strings.Cut(r.path, "{")
	if !named {
		return "", p == r.path
	}
	_, behind, _ = strings.Cut(behind, "}")
	rest, ok := strings.CutPrefix(p, before)
	if !ok {
		return "", false
	}
	if i := strings.IndexByte(behind, '{'); i >= 0 { // a second name at the end
		name, last, found := strings.Cut(rest, behind[:i])
		return name, found && name != "" && last != ""
	}
	name, ok := strings.CutSuffix(rest, behind)
	return name, ok && name != ""
}

// cleaned is a path without doubled slashes and dots, as the engine's router sees it.
func cleaned(p string) string {
	if !strings.HasPrefix(p, "/") {
		p = "/" + p
	}
	c := path.Clean(p)
	if strings.HasSuffix(p, "/") && c != "/" {
		c += "/"
	}
	return c
}

// unversioned cuts the version in front of a path.
func unversioned(p string) string {
	if v := version(p); v != "" {
		return p[len("/v"+v):]
	}
	return p
}

// version returns the version in front of a path, "" if there is none.
func version(p string) string {
	rest, ok := strings.CutPrefix(p, "/v")
	if !ok {
		return ""
	}
	v, _, more := strings.Cut(rest, "/")
	if !more || v == "" || strings.Trim(v, "0123456789.") != "" {
		return ""
	}
	return v
}
