package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/enforce"
	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// Limits of what verify reads.
const (
	maxImagesFile = 16 << 20 // bytes of --images-file
	maxParallel   = 256
)

// verifyOptions are the flags of verify.
type verifyOptions struct {
	policies    []string
	trust       *oneShot
	node        string // the socket of who decides; "": this process
	imagesFile  string
	output      string
	parallel    int
	timeout     time.Duration
	point       string
	namespace   string
	labels      string // of the namespace
	labelsGiven bool
	metricsFile string
	stateDir    string
	content     bool
	platform    string // of the content; empty: all
}

const verifyHelp = `Verify decides about each image and prints who vouched for it, or why it may not
run and what to do.

Whose word counts is said by a policy, or by flags for this one call; these have
cosign's names and make a policy, which --print-policy prints. Expressions
(…-regexp) are compared with the whole of a text, other than cosign's.

` + exitCodes

const verifyExamples = `  # one image, one policy
  assay verify --policy policy.yaml registry.example/app:1

  # signed with a key
  assay verify --key cosign.pub registry.example/app:1

  # signed by a workflow on GitHub, without keys
  assay verify --certificate-oidc-issuer https://token.actions.githubusercontent.com \
    --certificate-identity https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main \
    registry.example/app:1

  # signed with certificates of an own authority
  assay verify --ca-roots ca.pem --certificate-identity builder@acme.example registry.example/app:1

  # without a way to the internet: logs and authorities come from a file
  assay verify --key cosign.pub --trusted-root trusted_root.json registry.example/app:1

  # from flags to a policy
  assay verify --key cosign.pub --print-policy > policy.yaml

  # all images of a cluster, as JSON, one verdict a line
  kubectl get pods -A -o jsonpath='{.items[*].spec.containers[*].image}' | tr ' ' '\n' |
    assay verify --policy policies/ --images-file - -o json

  # by the daemon of this node (assay serve node), with its policies and what it remembers
  assay verify --node /run/assay/node.sock registry.example/app:1

  # in a pipeline: the exit code decides
  assay verify --policy policy.yaml "$IMAGE" || exit`

func (a *app) verifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:     "verify [flags] IMAGE...",
		Short:   "Decide whether images may run, and say why",
		Long:    strings.TrimSpace(verifyHelp),
		Example: verifyExamples,
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringArrayVarP(&o.policies, "policy", "p", nil, "policy `FILE`, - for standard input, or folder of *.yaml and *.yml files; may be repeated")
	f.StringVar(&o.node, "node", "", "let the daemon at this `SOCKET` decide (assay serve node), by its policies, in the place of --policy and of all that says whose word counts")
	o.trust = a.oneShotFlags(cmd)
	f.StringVar(&o.imagesFile, "images-file", "", "`FILE` with one image a line, - for standard input; # begins a comment")
	f.StringVarP(&o.output, "output", "o", "table", "table, or json: one verdict a line")
	f.IntVar(&o.parallel, "parallel", 8, "how many images are decided at once")
	f.DurationVar(&o.timeout, "timeout", engine.DefaultTimeout, "how long one image may take")
	f.StringVar(&o.point, "point", "cli", "the enforcement point to answer for: "+strings.Join(policy.Points(), ", "))
	f.StringVar(&o.namespace, "namespace", "", "the Kubernetes namespace to answer for")
	f.StringVar(&o.labels, "namespace-labels", "", "all labels of that namespace, as `KEY=VALUE,…`; empty: it has none; without the flag nobody knows them")
	f.BoolVar(&o.content, "content", false, "with -o json: also which manifests and configs an image that is allowed stands for")
	f.StringVar(&o.platform, "platform", "", "with --content: only those for `OS/ARCH` or OS/ARCH/VARIANT")
	f.StringVar(&o.metricsFile, "metrics-file", "", "write metrics of this run to `FILE`, for the node exporter's textfile collector")
	stateFlag(cmd, &o.stateDir)
	registries := a.registryFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		o.labelsGiven = cmd.Flags().Changed("namespace-labels")
		if err := o.checkNode(cmd.Flags()); err != nil {
			return err
		}
		return a.verify(cmd.Context(), o, registries, args)
	}
	cmd.SetFlagErrorFunc(verifyFlagError)
	registerWords(cmd, "output", "table", "json")
	registerWords(cmd, "point", policy.Points()...)
	return cmd
}

// registerWords makes the shell complete a flag's words.
func registerWords(cmd *cobra.Command, flag string, words ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err)
	}
}

func (o *verifyOptions) check() error {
	switch {
	case o.output != "table" && o.output != "json":
		return usageError("--output %q: want table or json", o.output)
	case o.parallel < 1 || o.parallel > maxParallel:
		return usageError("--parallel %d: want 1 to %d", o.parallel, maxParallel)
	case o.timeout <= 0:
		return usageError("--timeout %v: want more than 0", o.timeout)
	case o.trust.print && o.output != "table":
		return usageError("--print-policy beside --output %s: a policy is printed in YAML; leave --output out", o.output)
	}
	if err := o.checkStdin(); err != nil {
		return err
	}
	if err := o.checkContent(); err != nil {
		return err
	}
	if err := checkMetricsFile(o.metricsFile); err != nil {
		return usageError("--metrics-file: %w", err)
	}
	for _, known := range policy.Points() {
		if o.point == known {
			return nil
		}
	}
	return usageError("--point %q: want one of %s", o.point, strings.Join(policy.Points(), ", "))
}

// checkStdin refuses command lines that read standard input twice.
func (o *verifyOptions) checkStdin() error {
	var readers []string
	for _, flag := range []struct {
		name   string
		values []string
	}{{"policy", o.policies}, {"key", o.trust.keys}, {"images-file", []string{o.imagesFile}}} {
		for _, value := range flag.values {
			if value == "-" {
				readers = append(readers, "--"+flag.name+" -")
			}
		}
	}
	if len(readers) > 1 {
		return usageError("%s and %s: standard input can be read once only", readers[0], readers[1])
	}
	return nil
}

func (a *app) verify(ctx context.Context, o verifyOptions, registries *registryOptions, args []string) error {
	if err := o.check(); err != nil {
		return err
	}
	request, err := o.request()
	if err != nil {
		return err
	}
	if o.node != "" {
		return a.verifyAtNode(ctx, o, request, args)
	}
	policies, document, err := o.load()
	if err != nil {
		return err
	}
	if o.trust.print {
		if err := a.usable(policies); err != nil {
			return o.told(err)
		}
		return a.printPolicy(document)
	}
	images, err := a.images(o.imagesFile, args)
	if err != nil {
		return err
	}
	a.warn(policies)
	client, err := registries.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	keeper, err := a.keeper()
	if err != nil {
		return err
	}
	e, err := a.makeEngine(policies, peers{source: client, keeper: keeper, seen: a.seenIn(o.stateDir), timeout: o.timeout})
	if err != nil {
		return o.told(err)
	}
	a.prepare(ctx, keeper, o.timeout)
	told := o.words(e.Warnings())
	a.warnOf(told...)
	verdicts := a.decideAll(ctx, e, o, request, images)
	a.writeMetrics(o.metricsFile, verdicts, keeper.Statuses(a.now()))
	for i := range verdicts {
		verdicts[i].Warnings = o.words(verdicts[i].Warnings)
	}
	return a.answer(o.output, verdicts, told)
}

// prepareTimeout is how long a run waits for trust material before it decides with what it has.
const prepareTimeout = 10 * time.Second

// prepare fetches trust material of which there is no copy, or an old one, before anything is decided. That it could not be had matters
// only where what is left is stale or nothing: authorities warn of that for themselves, and of keys it is told here.
func (a *app) prepare(ctx context.Context, keeper *material.Keeper, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, min(timeout, prepareTimeout))
	defer cancel()
	_ = keeper.Prepare(ctx) // the statuses have it
	for _, s := range keeper.Statuses(a.now()) {
		if s.Kind == material.KindKMS && s.Warning != "" {
			a.warnOf(s.Warning)
		}
	}
}

// load returns the policies that the flags name, or the one that they stand for with its document.
func (o *verifyOptions) load() ([]*policy.Policy, []byte, error) {
	given := o.trust.given()
	switch {
	case len(o.policies) > 0 && len(given) > 0:
		return nil, nil, withHint(usageError("--policy beside --%s: a policy says all of whom to trust", given[0].Name),
			"--print-policy prints the policy that flags stand for; put it beside the others, or what it says into one")
	case len(o.policies) > 0 && o.trust.print:
		return nil, nil, usageError("--policy beside --print-policy: the policy is written already")
	case len(o.policies) == 0:
		p, document, err := o.trust.policy()
		return []*policy.Policy{p}, document, err
	}
	if err := checkPolicyNames(o.policies); err != nil {
		return nil, nil, err
	}
	policies, err := o.loadPolicies()
	if err != nil {
		return nil, nil, usageError("%w", err)
	}
	return policies, nil, nil
}

// loadPolicies reads the policies of --policy, of which one may be standard input.
func (o *verifyOptions) loadPolicies() ([]*policy.Policy, error) {
	files := slices.DeleteFunc(slices.Clone(o.policies), func(name string) bool { return name == "-" })
	if len(files) == len(o.policies) {
		return loadPolicies(files)
	}
	data, err := o.trust.readStdin()
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(policy.Source{
		Name:     "standard input",
		Data:     data,
		ReadFile: func(name string) ([]byte, error) { return readLimited(name, policy.MaxFile) },
	}, formatNames())
	if err != nil {
		return nil, err
	}
	others, err := loadPolicies(files)
	return append([]*policy.Policy{p}, others...), err
}

// usable has the engine make the authorities of policies, as it would to decide: what is printed is a policy that it takes.
func (a *app) usable(policies []*policy.Policy) error {
	keeper, err := a.keeper()
	if err != nil {
		return err
	}
	client, err := registry.New(registry.Config{})
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	_, err = a.makeEngine(policies, peers{source: client, keeper: keeper})
	return err
}

func (a *app) printPolicy(document []byte) error {
	if _, err := a.stdout.Write(document); err != nil {
		return &exitError{code: exitCannotTell, err: fmt.Errorf("standard output: %w", err)}
	}
	return nil
}

func (a *app) warn(policies []*policy.Policy) {
	for _, p := range policies {
		for _, w := range p.Warnings {
			a.warnOf(w.Error())
		}
	}
}

func (a *app) warnOf(warnings ...string) {
	for _, w := range warnings {
		fmt.Fprintf(a.stderr, "assay: warning: %s\n", plain(w))
	}
}

// images returns the images of the command line and of the file.
func (a *app) images(file string, args []string) ([]string, error) {
	images := append([]string(nil), args...)
	if file != "" {
		listed, err := a.readImages(file)
		if err != nil {
			return nil, usageError("%w", err)
		}
		images = append(images, listed...)
	}
	if len(images) == 0 {
		return nil, withHint(usageError("no image to decide about"), "name one, or give --images-file; see assay verify --help")
	}
	return images, nil
}

func (a *app) readImages(file string) ([]string, error) {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	limited := &io.LimitedReader{R: in, N: maxImagesFile + 1}
	lines := bufio.NewScanner(limited)
	var images []string
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line != "" {
			images = append(images, line)
		}
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("%s: more than %d bytes", file, maxImagesFile)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return images, nil
}

// decideAll decides about images side by side. The verdicts are in the order of the images.
func (a *app) decideAll(ctx context.Context, d enforce.Decider, o verifyOptions, request policy.Request, images []string) []engine.Verdict {
	verdicts := make([]engine.Verdict, len(images))
	progress := a.newProgress(len(images))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(o.parallel, len(images)) {
		workers.Go(func() {
			for i := range next {
				verdicts[i] = d.Decide(ctx, engine.Request{Image: images[i], Request: request, Content: o.content, Platform: o.platform})
				progress.done()
			}
		})
	}
	for i := range images {
		next <- i
	}
	close(next)
	workers.Wait()
	progress.end()
	return verdicts
}

// answer prints the verdicts and turns them into the exit code. This is the one place where verdicts become exit codes.
func (a *app) answer(output string, verdicts []engine.Verdict, told []string) error {
	if err := a.print(output, verdicts, told); err != nil {
		return &exitError{code: exitCannotTell, err: err}
	}
	code := exitAllowed
	for i := range verdicts {
		v := &verdicts[i]
		switch {
		case v.Allowed:
		case v.Outcome == engine.Bug:
			return &exitError{code: exitBug}
		case v.Outcome == engine.CouldNotTell:
			if code == exitAllowed {
				code = exitCannotTell
			}
		default:
			code = exitDenied
		}
	}
	if code == exitAllowed {
		return nil
	}
	return &exitError{code: code}
}

func (a *app) print(output string, verdicts []engine.Verdict, told []string) error {
	if output != "json" {
		return a.printTable(verdicts, told)
	}
	out := json.NewEncoder(a.stdout)
	out.SetEscapeHTML(false)
	for i := range verdicts {
		if err := out.Encode(&verdicts[i]); err != nil {
			return err
		}
	}
	return nil
}
