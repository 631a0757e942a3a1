package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/examples"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/registrytest"
)

func (a *app) demoCommand() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job in a minute: a registry, two authorities, eight images, eight verdicts",
		Long: strings.TrimSpace(`
Demo starts a registry in this process on a free port of this machine, pushes
small images, makes two certificate authorities, signs some of the images, and
decides about eight of them. It needs no network and leaves nothing behind.

Exit codes: 0 if every verdict is the expected one, 1 if not.`),
		Example: unwrapped(`
  assay demo
  assay demo --keep   # then try assay verify on its images from another terminal`),
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), keep) },
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the registry running until interrupted, and say how to use it")
	return cmd
}

func (a *app) demo(ctx context.Context, keep bool) error {
	folder, err := os.MkdirTemp("", "assay-demo-")
	if err != nil {
		return &exitError{code: exitDenied, err: err}
	}
	defer os.RemoveAll(folder)
	server, err := registrytest.Start(registrytest.Options{})
	if err != nil {
		return &exitError{code: exitDenied, err: err}
	}
	defer server.Close()
	fmt.Fprintf(a.stderr, "assay: registry on %s, files in %s\n", server.Host(), folder)
	cases, err := a.runDemo(ctx, server, folder)
	if err != nil {
		return &exitError{code: exitDenied, err: err}
	}
	wrong := a.printDemo(cases)
	if wrong > 0 {
		return &exitError{code: exitDenied, err: fmt.Errorf("demo: %d of %d verdicts are not the expected ones", wrong, len(cases))}
	}
	if keep {
		a.waitForUser(ctx, server, folder)
	}
	return nil
}

// demoCase is one image of the demo and what must become of it.
type demoCase struct {
	story   string
	image   string
	want    engine.Outcome
	verdict engine.Verdict
}

// runDemo builds the stage and decides about each image by the policy that lies in examples/.
func (a *app) runDemo(ctx context.Context, server *registrytest.Server, folder string) ([]demoCase, error) {
	client, err := registry.New(registry.Config{LoopbackHTTP: true, UserAgent: "assay-demo"})
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	cases, err := a.buildDemo(ctx, server, client, folder)
	if err != nil {
		return nil, err
	}
	policies, err := loadPolicies([]string{filepath.Join(folder, demoPolicyFile)})
	if err != nil {
		return nil, err
	}
	e, err := a.newEngine(policies, peers{source: client})
	if err != nil {
		return nil, err
	}
	for i := range cases {
		cases[i].verdict = e.Decide(ctx, engine.Request{Image: cases[i].image, Request: policy.Request{Point: "cli"}})
	}
	return cases, nil
}

// buildDemo pushes and signs the images, and puts the policy into the folder.
func (a *app) buildDemo(ctx context.Context, server *registrytest.Server, client *registry.Client, folder string) ([]demoCase, error) {
	stage := demoStage{app: a, server: server, store: client, folder: folder}
	cases, err := stage.build(ctx)
	if err != nil {
		return nil, err
	}
	return cases, os.WriteFile(filepath.Join(folder, demoPolicyFile), examples.DemoPolicy, 0o600)
}

const demoPolicyFile = "demo-policy.yaml"

// printDemo prints the cases and returns how many verdicts are not the expected ones.
func (a *app) printDemo(cases []demoCase) (wrong int) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.Style().Options.SeparateRows = true
	t.AppendHeader(table.Row{"what happened", "image", "verdict", "who vouched, or why not"})
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 1, WidthMax: 22, WidthMaxEnforcer: text.WrapSoft},
		{Number: 2, WidthMax: 30, WidthMaxEnforcer: text.WrapHard},
		{Number: 4, WidthMax: 60, WidthMaxEnforcer: text.WrapSoft},
	})
	for i := range cases {
		c := &cases[i]
		word := a.paint(&c.verdict)
		if c.verdict.Outcome != c.want || c.verdict.Allowed != (c.want == engine.Allowed) {
			wrong++
			word += " (expected: " + c.want.String() + ")"
		}
		t.AppendRow(table.Row{c.story, plain(c.image), word, because(&c.verdict, nil)})
	}
	fmt.Fprintln(a.stdout, t.Render())
	fmt.Fprintf(a.stdout, "%d of %d verdicts are as expected\n", len(cases)-wrong, len(cases))
	return wrong
}

func (a *app) waitForUser(ctx context.Context, server *registrytest.Server, folder string) {
	fmt.Fprintf(a.stdout, "\nThe registry goes on until you press Ctrl-C. From another terminal:\n\n  assay verify --policy %s %s/shop/api:1\n  assay policy explain --policy %s %s/shop/web:1\n",
		filepath.Join(folder, demoPolicyFile), server.Host(), filepath.Join(folder, demoPolicyFile), server.Host())
	<-ctx.Done()
}

// closedPort returns an address of this machine on which nobody listens.
func closedPort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
