// Command assay answers whether somebody we trust has vouched for exactly the bytes of a container image.
//
// This package is the only reader of flags and of the environment: it wires the other packages together and turns their answers
// into tables, JSON and exit codes. Each subcommand is one file.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/assay-dev/assay/spelling"
)

// Exit codes. They stand in the help and in docs/reference/cli.md; scripts rely on them.
const (
	exitAllowed    = 0
	exitDenied     = 1
	exitCannotTell = 2
	exitUsage      = 64
	exitBug        = 70
)

const exitCodes = `Exit codes:
  0   all images are allowed
  1   at least one image is denied
  2   for at least one image it could not be told, and none is denied
  64  the command line or the policy is wrong
  70  a bug in assay
`

// app is the world that commands run in.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	getenv func(string) string
	now    func() time.Time

	// environ lists the environment as os.Environ does, for who must know a name that nobody reads; nil: it is not known.
	environ func() []string

	pace pace // of servers
}

// exitError ends the program with a code. Its cause is printed unless it is nil.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError says that the command line, the policy or the settings are wrong.
func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// hinted is an error with a next step for the user.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// withHint adds a next step to an error; it is printed on a line of its own.
func withHint(err error, hint string) error {
	return &hinted{error: err, hint: hint}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now, environ: os.Environ}
	code := a.run(ctx, os.Args)
	stop()
	os.Exit(code)
}

// run executes a command line, the program's name first, and returns the exit code. A panic ends with a code of its own: Go's would be
// that of "could not tell".
func (a *app) run(ctx context.Context, args []string) (code int) {
	defer func() {
		if caught := recover(); caught != nil {
			fmt.Fprintf(a.stderr, "assay: bug: %v\n%s", caught, debug.Stack())
			code = exitBug
		}
	}()
	root := a.rootCommand()
	root.SetArgs(args[1:])
	if name := filepath.Base(args[0]); name == "dia-sign.sh" {
		root.SetArgs(append([]string{"sign", "--as-dia-sign"}, args[1:]...))
	}
	return a.report(root.ExecuteContext(ctx))
}

// report prints an error, if any, and returns its exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitAllowed
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		// Only cobra itself returns bare errors: unknown commands and flags.
		exit = &exitError{code: exitUsage, err: err}
	}
	if exit.err != nil {
		fmt.Fprintf(a.stderr, "assay: %s\n", exit.err)
		var h *hinted
		if errors.As(err, &h) {
			fmt.Fprintf(a.stderr, "assay: hint: %s\n", h.hint)
		}
	}
	return exit.code
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "assay",
		Short: "Has somebody we trust vouched for exactly these bytes?",
		Long: strings.TrimSpace(`
Assay decides whether a container image may run: one policy document says whose
word is needed for which images, and the same engine gives the same verdict
wherever an image can be stopped.

` + exitCodes),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          oneOfTheCommands,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		a.verifyCommand(),
		a.signCommand(),
		a.policyCommand(),
		a.trustCommand(),
		a.serveCommand(),
		a.probeCommand(),
		a.doctorCommand(),
		a.spireCommand(),
		a.containerdCommand(),
		a.demoCommand(),
		a.versionCommand(),
	)
	return root
}

// oneOfTheCommands refuses what is no command, with the one that may be meant.
func oneOfTheCommands(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range root.Commands() {
		names = append(names, c.Name())
	}
	hint := "see assay --help"
	if name := nearest(args[0], names); name != "" {
		hint = "did you mean assay " + name + "? " + hint
	}
	return withHint(usageError("unknown command %q", args[0]), hint)
}

// flagError adds to an error of the flags what may be meant.
func flagError(cmd *cobra.Command, err error) error {
	hint := "see " + cmd.CommandPath() + " --help"
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if name := nearest(unknown.GetSpecifiedName(), names); name != "" {
			hint = "did you mean --" + name + "? " + hint
		}
	}
	return withHint(usageError("%w", err), hint)
}

// nearest returns the name that is meant by what was typed; "" if none is near, or too little was typed to tell.
func nearest(typed string, names []string) string {
	if len(typed) < 3 {
		return ""
	}
	return spelling.Nearest(typed, names)
}

// unwrapped returns text without the line breaks around it, and with the indent of its first line.
func unwrapped(text string) string { return strings.Trim(text, "\n") }
