package docker

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/reference/docker-routes.md")

const routesPage = "../../docs/reference/docker-routes.md"

// What the page says of classes.
var classWords = map[class]string{
	ordinary: "allowed: names no image, and makes none run",
	create:   "decided: the content of the image, and of those mounted into it",
	start:    "decided again: the content of the container's image",
	rename:   "allowed, unless a container is being started by the name",
	pull:     "decided: the reference. An import, by the switch `import`; without a tag, by `pullAllTags`",
	service:  "decided: the digest, which the request must carry",
}

// tables are the page's parts that the table of routes makes.
func tables() string {
	var b strings.Builder
	b.WriteString("| switch | default | about |\n|---|---|---|\n")
	for _, s := range Switches() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, s.Default, s.What)
	}
	b.WriteString("\n## Routes\n\n| route | what becomes of it |\n|---|---|\n| `GET`, `HEAD` of anything | allowed at once, without asking anybody |\n")
	for _, r := range routes {
		words := classWords[r.class]
		if r.class == switched {
			words = "by the switch `" + r.by + "`"
		}
		fmt.Fprintf(&b, "| `%s %s` | %s |\n", r.method, r.path, words)
	}
	b.WriteString("| any other | denied |\n")
	return b.String()
}

// The page has the table of routes as it is in the program: go test ./enforce/docker -run RoutesAreOnTheirPage -update writes it.
func TestRoutesAreOnTheirPage(t *testing.T) {
	for _, r := range routes {
		if r.class != switched && classWords[r.class] == "" {
			t.Errorf("%s %s: a class without words", r.method, r.path)
		}
	}
	page, err := os.ReadFile(routesPage)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- begin -->\n", "<!-- end -->\n"
	before, rest, found := strings.Cut(string(page), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s lacks the marks around its tables", routesPage)
	}
	want := before + begin + tables() + end + after
	if *update {
		if err := os.WriteFile(routesPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(page) != want {
		t.Errorf("%s is not what the program does; go test ./enforce/docker -run RoutesAreOnTheirPage -update", routesPage)
	}
}
