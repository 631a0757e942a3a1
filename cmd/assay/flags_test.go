package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// otherFlags are flags on the page that are no flags of a command: every command's, and other names for one.
var otherFlags = []string{"help", "annotations", "type"}

// TestFlagsAndTheirPage has every flag of every command in the part of the page that is about it, and no flag there that does not exist.
func TestFlagsAndTheirPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{} // by command; what is below its heading, up to the next command's
	var commands []string
	for _, line := range strings.Split(string(page), "\n") {
		if title, isHeading := strings.CutPrefix(line, "#"); isHeading {
			title = strings.TrimLeft(title, "# ")
			if strings.HasPrefix(line, "## ") || strings.HasPrefix(title, "assay ") {
				commands = strings.Split(title, ", ")
			}
		}
		for _, c := range commands {
			parts[c] += line + "\n"
		}
	}
	known := map[string]bool{}
	for _, name := range otherFlags {
		known[name] = true
	}
	count := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		text := ""
		for up := c; up != nil; up = up.Parent() { // what several commands share is told with the one above them
			text += parts[up.CommandPath()]
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			known[f.Name] = true
			if f.Hidden {
				return
			}
			count++
			if written := regexp.MustCompile(`--` + f.Name + `([^a-z-]|$)`); !written.MatchString(text) && (f.Shorthand == "" || !strings.Contains(text, "`-"+f.Shorthand+" ")) {
				t.Errorf("docs/reference/cli.md lacks --%s in the part about %s", f.Name, c.CommandPath())
			}
		})
		for _, below := range c.Commands() {
			visit(below)
		}
	}
	a := &app{stdin: strings.NewReader(""), getenv: func(string) string { return "" }}
	visit(a.rootCommand())
	if count < 100 {
		t.Errorf("%d flags are too few", count)
	}
	var unknown []string
	for _, code := range regexp.MustCompile("`(?:--|assay )[^`|]*").FindAllString(string(page), -1) { // other code is about other programs
		for _, m := range regexp.MustCompile("[` ]--([a-z][a-z-]+)").FindAllStringSubmatch(code, -1) {
			if !known[m[1]] && !slices.Contains(unknown, m[1]) {
				unknown = append(unknown, m[1])
			}
		}
	}
	if len(unknown) > 0 {
		t.Errorf("docs/reference/cli.md has flags that no command has: %q", unknown)
	}
}
