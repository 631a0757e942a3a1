// Command assay-containerd-verifier is an image verifier of containerd: it is started at each pull, before anything of the image is fetched,
// and says by its exit code whether the image may be pulled, with one line why.
//
// It decides nothing itself. It asks the daemon of the node, and where no daemon answers it runs assay verify in what is left of its time. It
// is made of the standard library and little else, because it is started so often. Whatever goes wrong in it refuses.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/assay-dev/assay/enforce/containerd/ask"
)

// Exit codes. containerd lets an image be pulled at 0 and at nothing else.
const (
	exitAllowed    = 0
	exitDenied     = 1
	exitCannotTell = 2
	exitUsage      = 64
	exitBug        = 70
)

// grace is how long after its time the program waits for what should have ended by itself, before it answers without.
const grace = 300 * time.Millisecond

const usage = `assay-containerd-verifier is started by containerd, as
  assay-containerd-verifier -name IMAGE -digest DIGEST -stdin-media-type ` + ask.DescriptorType + `
with the image's descriptor on standard input. It prints one line that says why
the image may be pulled or not.

It asks the daemon of this node (assay serve node) at /run/assay/node.sock. Where
none answers it runs /usr/local/bin/assay verify with the policies in
/etc/assay/policies. ` + ask.ConfigFile + ` says otherwise:
  {"socket": "/run/assay/node.sock", "timeout": "9s", "fallback": ["/usr/local/bin/assay", "verify", ...]}

assay containerd install puts it where containerd looks for it, and
assay doctor containerd says whether containerd does.

  -h, --help   print this
  --version    print the version

Exit codes:
  0   the image may be pulled
  1   it may not
  2   it could not be told, so it may not
  64  the command line is wrong
  70  a bug
`

// version is set by the linker for releases.
var version string

func main() {
	v := &verifier{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, file: ask.ConfigFile}
	os.Exit(v.run(os.Args[1:]))
}

// verifier is the world that the program runs in.
type verifier struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	file   string // of the configuration
}

// run answers, and returns the exit code. What containerd passes is never a question about the program, whatever the image is called: those have
// one argument.
func (v *verifier) run(args []string) int {
	switch {
	case len(args) == 0:
		fmt.Fprint(v.stderr, usage)
		return exitUsage
	case len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help"):
		fmt.Fprint(v.stdout, usage)
		return exitAllowed
	case len(args) == 1 && (args[0] == "-version" || args[0] == "--version"):
		fmt.Fprintln(v.stdout, "assay-containerd-verifier", versionText())
		return exitAllowed
	}
	a, code := v.answer(args)
	if code == exitAllowed && !a.Allowed {
		code = exitOf(a)
	}
	fmt.Fprintln(v.stdout, ask.Line(a.Reason))
	return code
}

func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// exitOf is the one place where answers become exit codes.
func exitOf(a ask.Answer) int {
	switch {
	case a.Allowed && a.Meaning == ask.Allowed:
		return exitAllowed
	case a.Meaning == ask.CouldNotTell:
		return exitCannotTell
	case a.Meaning == ask.Bug:
		return exitBug
	}
	return exitDenied
}

// answer reads what containerd passes and has it decided, in the time that the configuration gives.
func (v *verifier) answer(args []string) (ask.Answer, int) {
	start := time.Now()
	q, err := v.parse(args)
	if err != nil {
		return ask.No(ask.CouldNotTell, "could not tell: "+err.Error()), exitUsage
	}
	c := config{}
	a := guarded(start.Add(ask.DefaultTimeout), func(context.Context) ask.Answer {
		if c, err = readConfig(v.file, v.getenv(ask.ConfigVariable)); err != nil {
			return ask.No(ask.CouldNotTell, "could not tell: "+err.Error())
		}
		return ask.Answer{Allowed: true, Meaning: ask.Allowed} // to go on
	})
	if a.Allowed {
		a = guarded(start.Add(time.Duration(c.timeout)), func(ctx context.Context) ask.Answer { return v.decide(ctx, c, q) })
	}
	return a, exitOf(a)
}

// guarded calls fn, which should end at the deadline, and answers without it where it does not, and where it breaks down.
func guarded(deadline time.Time, fn func(ctx context.Context) ask.Answer) ask.Answer {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	answers := make(chan ask.Answer, 1)
	go func() {
		a := ask.No(ask.Bug, "bug: the verifier broke down")
		defer func() {
			if caught := recover(); caught != nil {
				a = ask.No(ask.Bug, fmt.Sprintf("bug: the verifier broke down: %v", caught))
			}
			answers <- a // also where fn ended its goroutine
		}()
		a = fn(ctx)
	}()
	late := time.NewTimer(time.Until(deadline) + grace)
	defer late.Stop()
	select {
	case a := <-answers:
		return a
	case <-late.C:
		return ask.No(ask.CouldNotTell, "could not tell: the time for an answer is over")
	}
}

// parse reads the command line. There is no answer for one that containerd would not write.
func (v *verifier) parse(args []string) (ask.Question, error) {
	var q ask.Question
	flags := flag.NewFlagSet("assay-containerd-verifier", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	input := ""
	once := map[string]bool{}
	text := func(into *string, name string) {
		flags.Func(name, "", func(value string) error {
			if once[name] {
				return errors.New("given twice")
			}
			once[name], *into = true, value
			return nil
		})
	}
	text(&q.Name, "name")
	text(&q.Digest, "digest")
	text(&input, "stdin-media-type")
	switch err := flags.Parse(args); {
	case err != nil:
		return q, fmt.Errorf("the command line is not containerd's: %w", err)
	case flags.NArg() > 0:
		return q, fmt.Errorf("the command line is not containerd's: %.100q is too much", flags.Arg(0))
	case input != ask.DescriptorType:
		return q, fmt.Errorf("standard input would be %.100q, which this version does not know", input)
	}
	return q, nil
}

// decide asks the daemon, and where none answers the fallback. What the daemon says is final, also that it could not tell: the fallback is the
// same engine.
func (v *verifier) decide(ctx context.Context, c config, q ask.Question) ask.Answer {
	if err := readDescriptor(v.stdin, &q); err != nil {
		return ask.No(ask.CouldNotTell, "could not tell: the descriptor on standard input "+err.Error())
	}
	err := q.Check()
	if err == nil {
		err = checkPlace(q.Name)
	}
	if err != nil {
		return ask.No(ask.Denied, "may not be pulled: "+err.Error())
	}
	asking, cancel := c.forDaemon(ctx)
	defer cancel()
	a, away := ask.Node(asking, c.socket, q)
	if away == nil {
		return a
	}
	if len(c.fallback) == 0 {
		return ask.No(ask.CouldNotTell, fmt.Sprintf("%s: could not tell: %v", q.Image(), away))
	}
	fmt.Fprintln(v.stderr, ask.Line(fmt.Sprintf("%v; deciding without it", away)))
	return v.fallback(ctx, c.fallback, q, away)
}
