//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/assay-dev/assay/enforce/spire/proto/broker"
	"github.com/assay-dev/assay/enforce/spire/spiretest"
)

const agentUsage = "usage: agent start ATTESTOR FILE [VAR=VALUE...] [--FLAG...] | configure FILE | validate FILE | attest PID [FILE] | " +
	"reference pid PID | pod NAMESPACE/NAME | uid UID | both NAMESPACE/NAME UID | object PLURAL.GROUP NAMESPACE/NAME | type URL [as ID...] | log | await REGEXP | counters | interrupt | kill | stop"

// agentTrustDomain is that of stories' agents.
const agentTrustDomain = "example.org"

// agentPatience is how long an agent of a story waits for an answer.
const agentPatience = time.Minute

// variable is one of the story's in a file of configuration. Expressions may have other dollars.
var variable = regexp.MustCompile(`\$[A-Z][A-Z0-9_]*`)

// cmdAgent plays a SPIRE agent with assay as a plugin. What is refused is printed on stderr, the code first, and fails the command.
//
//	agent start ATTESTOR FILE [VAR=VALUE...] [--FLAG...]
//	                     starts assay spire ATTESTOR with more environment and flags, and configures it with the content of a file, in which
//	                     $VARIABLES of the story are replaced. With "-" as FILE it is not configured
//	agent configure FILE, agent validate FILE
//	agent attest PID [FILE]
//	                     prints the values of the selectors, one a line, and writes them to a file
//	agent reference pid PID | pod NAMESPACE/NAME | uid UID | both NAMESPACE/NAME UID | object PLURAL.GROUP NAMESPACE/NAME | type URL [as ID...]
//	                     the same for a reference, for the callers that are named
//	agent log            prints what the plugin has logged
//	agent await REGEXP   waits for a line of the log
//	agent counters       prints what the plugin has counted
//	agent interrupt      sends the plugin what a terminal sends to all its programs
//	agent kill           kills the plugin
//	agent stop           ends the plugin, and looks at its log: every line has to be one that an agent can read
func cmdAgent(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf(agentUsage)
	}
	w := worldOf(ts)
	if args[0] != "start" && w.agent == nil {
		ts.Fatalf("agent: none was started")
	}
	ctx, cancel := context.WithTimeout(context.Background(), agentPatience)
	defer cancel()
	err := w.agentDoes(ctx, ts, args[0], args[1:])
	switch {
	case errors.Is(err, errAgentUsage):
		ts.Fatalf(agentUsage)
	case err != nil && !neg:
		ts.Fatalf("agent %s: %v", strings.Join(args, " "), err)
	case err == nil && neg:
		ts.Fatalf("agent %s: was not refused", strings.Join(args, " "))
	case err != nil:
		fmt.Fprintf(ts.Stderr(), "%v: %s\n", status.Code(err), status.Convert(err).Message())
	}
}

var errAgentUsage = errors.New("usage")

func (w *world) agentDoes(ctx context.Context, ts *testscript.TestScript, verb string, args []string) error {
	switch {
	case verb == "start" && len(args) >= 2:
		return w.startAgent(ctx, ts, args[0], args[1], args[2:])
	case verb == "configure" && len(args) == 1:
		return w.agent.Configure(ctx, agentTrustDomain, agentFile(ts, args[0]))
	case verb == "validate" && len(args) == 1:
		return validate(ctx, ts, w.agent, agentFile(ts, args[0]))
	case verb == "attest" && (len(args) == 1 || len(args) == 2):
		pid, err := strconv.ParseInt(args[0], 10, 32)
		ts.Check(err)
		values, err := w.agent.Attest(ctx, int32(pid))
		return told(ts, values, err, args[1:])
	case verb == "reference" && len(args) >= 2:
		reference, rest, err := agentReference(args)
		if err != nil {
			return err
		}
		values, err := w.agent.AttestReference(ctx, reference, rest...)
		return told(ts, values, err, nil)
	case verb == "log" && len(args) == 0:
		fmt.Fprintln(ts.Stdout(), strings.Join(w.agent.Log.Raw(), "\n"))
	case verb == "await" && len(args) == 1:
		line, err := w.agent.Log.Await(ctx, matcher(ts, args[0]))
		if err != nil {
			return err
		}
		fmt.Fprintln(ts.Stdout(), line)
	case verb == "counters" && len(args) == 0:
		for name, value := range w.agent.Counters.Values() {
			fmt.Fprintln(ts.Stdout(), name, value)
		}
	case verb == "interrupt" && len(args) == 0:
		return signalAgent(ts, w.agent, os.Interrupt)
	case verb == "kill" && len(args) == 0:
		return signalAgent(ts, w.agent, os.Kill)
	case verb == "stop" && len(args) == 0:
		w.agent.Close()
		if flaws := w.agent.Log.Flaws(); len(flaws) > 0 {
			return fmt.Errorf("the log could harm an agent: %q", flaws)
		}
	default:
		return errAgentUsage
	}
	return nil
}

func signalAgent(ts *testscript.TestScript, agent *spiretest.Host, signal os.Signal) error {
	process, err := os.FindProcess(agent.PID())
	ts.Check(err)
	return process.Signal(signal)
}

// startAgent starts a plugin. Its socket is in a folder of its own: those of stories have names that are too long.
func (w *world) startAgent(ctx context.Context, ts *testscript.TestScript, attestor, config string, more []string) error {
	if w.agent != nil {
		w.agent.Close()
	}
	folder, err := os.MkdirTemp("", "agent")
	ts.Check(err)
	env := []string{"TMPDIR=" + folder}
	for _, name := range []string{"PATH", "HOME", "DOCKER_CONFIG"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	command := []string{ts.Getenv("ASSAY"), "spire", attestor}
	for _, m := range more {
		if strings.HasPrefix(m, "--") {
			command = append(command, m)
		} else {
			env = append(env, m)
		}
	}
	host, err := spiretest.Start(ctx, command, spiretest.Options{Env: env, Dir: ts.MkAbs(".")})
	ts.Check(err)
	w.agent = host
	ts.Defer(func() {
		host.Close()
		_ = os.RemoveAll(folder) // nothing of it counts any more
		if flaws := host.Log.Flaws(); len(flaws) > 0 {
			w.t.Log(fmt.Sprintf("the log could harm an agent: %q", flaws))
			w.t.FailNow()
		}
	})
	if config == "-" {
		return nil
	}
	return host.Configure(ctx, agentTrustDomain, agentFile(ts, config))
}

// agentFile is the content of a file with the story's variables in it.
func agentFile(ts *testscript.TestScript, name string) string {
	return variable.ReplaceAllStringFunc(ts.ReadFile(name), func(v string) string { return ts.Getenv(v[1:]) })
}

// validate prints the notes. What is not valid is refused with all of them.
func validate(ctx context.Context, ts *testscript.TestScript, agent *spiretest.Host, hcl string) error {
	valid, notes, err := agent.Validate(ctx, agentTrustDomain, hcl)
	if err != nil {
		return err
	}
	for _, n := range notes {
		fmt.Fprintln(ts.Stdout(), n)
	}
	if !valid {
		return errors.New("not valid: " + strings.Join(notes, "; "))
	}
	return nil
}

// told prints selectors, and writes them to a file.
func told(ts *testscript.TestScript, values []string, err error, file []string) error {
	if err != nil {
		return err
	}
	text := ""
	for _, v := range values {
		text += v + "\n"
	}
	fmt.Fprint(ts.Stdout(), text)
	for _, name := range file {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
	return nil
}

func matcher(ts *testscript.TestScript, expression string) func(spiretest.Line) bool {
	wanted, err := regexp.Compile(expression)
	ts.Check(err)
	return func(l spiretest.Line) bool { return wanted.MatchString(fmt.Sprint(l)) }
}

// agentReference makes the reference that words stand for. What is left of them are the callers.
func agentReference(words []string) (proto.Message, []string, error) {
	var callers []string
	for i, word := range words {
		if word == "as" {
			words, callers = words[:i], words[i+1:]
			break
		}
	}
	pods := &broker.KubernetesObjectType{Plural: "pods", Group: "core"}
	switch kind, args := words[0], words[1:]; {
	case kind == "pid" && len(args) == 1:
		pid, err := strconv.ParseInt(args[0], 10, 32)
		return &broker.WorkloadPIDReference{Pid: int32(pid)}, callers, err
	case kind == "pod" && len(args) == 1:
		return &broker.KubernetesObjectReference{Type: pods, Key: objectKey(args[0])}, callers, nil
	case kind == "uid" && len(args) == 1:
		return &broker.KubernetesObjectReference{Type: pods, Uid: args[0]}, callers, nil
	case kind == "both" && len(args) == 2:
		return &broker.KubernetesObjectReference{Type: pods, Key: objectKey(args[0]), Uid: args[1]}, callers, nil
	case kind == "object" && len(args) == 2:
		plural, group, _ := strings.Cut(args[0], ".")
		return &broker.KubernetesObjectReference{Type: &broker.KubernetesObjectType{Plural: plural, Group: group}, Key: objectKey(args[1])}, callers, nil
	case kind == "type" && len(args) == 1:
		return &anypb.Any{TypeUrl: args[0]}, callers, nil
	}
	return nil, nil, errAgentUsage
}

func objectKey(name string) *broker.KubernetesObjectKey {
	namespace, name, _ := strings.Cut(name, "/")
	return &broker.KubernetesObjectKey{Namespace: namespace, Name: name}
}
