//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

var (
	pageBlock = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	pageFile  = regexp.MustCompile("`([a-z]+\\.yaml)`:\n\n$") // what stands before a block that is a file
)

// cmdPage is "page PAGE SCRIPT": it makes a script of the commands on a page of this repository, as its reader types them: blocks without
// a language are commands; where they begin with "$ ", the other lines are what they print, and a command that prints an error of the API
// server must fail. Lines that call make are for the story, and so is a block for which the page has another one that can be run here.
func cmdPage(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "page", neg)
	if len(args) != 2 {
		ts.Fatalf("usage: page PAGE SCRIPT")
	}
	name, err := filepath.Abs(filepath.Join(ts.Getenv("CHART"), "../../..", args[0]))
	ts.Check(err)
	text := ts.ReadFile(name)
	script := []string{"set -e", "exec 2>&1"}
	for _, at := range pageBlock.FindAllStringSubmatchIndex(text, -1) {
		language, block := text[at[2]:at[3]], text[at[4]:at[5]]
		file := pageFile.FindStringSubmatch(text[:at[0]])
		switch {
		case language == "" && !strings.Contains(block, "REGISTRY=registry.acme.example"):
			script = append(script, pageCommands(block)...)
		case file != nil:
			script = append(script, "cat >"+file[1]+" <<'END'", strings.TrimSuffix(block, "\n"), "END")
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(script, "\n")+"\n"), 0o600))
}

// pageCommands returns the commands of a block.
func pageCommands(block string) []string {
	lines := strings.Split(strings.TrimSuffix(block, "\n"), "\n")
	var commands []string
	for i, line := range lines {
		command, shown := strings.CutPrefix(line, "$ ")
		switch {
		case strings.HasPrefix(line, "make "), !shown && strings.HasPrefix(block, "$ "):
		case i+1 < len(lines) && strings.HasPrefix(lines[i+1], "Error from server"):
			commands = append(commands, command+" && exit 1")
		default:
			commands = append(commands, command)
		}
	}
	return commands
}
