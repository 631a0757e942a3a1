package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/trust/sigstore/material"
)

func (a *app) trustInitCommand() *cobra.Command {
	var o trustOptions
	var mirror, root string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a TUF repository the default, as cosign initialize does",
		Long: strings.TrimSpace(`
Init fetches a TUF repository and keeps it in the cache, where cosign finds it
too. The first root.json that is trusted has to come from somewhere else than the
repository itself.`),
		Example: unwrapped(`
  assay trust init --mirror https://tuf.acme.example --root root.json

  # back to Sigstore's public good instance
  assay trust init`),
		Args: usageArgs(cobra.NoArgs),
	}
	cmd.Flags().StringVar(&mirror, "mirror", "", "`URL` of the repository (default Sigstore's public good instance)")
	cmd.Flags().StringVar(&root, "root", "", "`FILE` with the first root.json that is trusted")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long it may take")
	cacheFlag(cmd, &o)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if timeout <= 0 {
			return usageError("--timeout %v: want more than 0", timeout)
		}
		repository, err := tufRepository(mirror, root)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		return a.trustInit(ctx, &o, repository)
	}
	return cmd
}

// tufRepository returns the repository that the flags of init name.
func tufRepository(mirror, root string) (material.TUF, error) {
	t := material.TUF{Mirror: mirror, RootName: root}
	switch {
	case mirror == "" && root == "":
		return material.TUF{Mirror: material.PublicGoodMirror, Root: material.PublicGoodRoot()}, nil
	case mirror == "":
		t.Mirror = material.PublicGoodMirror
	case root == "":
		return t, withHint(usageError("--mirror needs --root: a repository cannot vouch for itself"), "give the root.json that its operator handed out")
	}
	var err error
	if t.Root, err = readLimited(root, maxMaterial); err != nil {
		return t, usageError("%w", err)
	}
	if err := t.Check(); err != nil {
		return t, usageError("%w", err)
	}
	return t, nil
}

func (a *app) trustInit(ctx context.Context, o *trustOptions, t material.TUF) error {
	// What the installation gave before does not matter, and may be what has to be mended.
	k, err := material.New(a.materialConfig(material.Default{}, o.cache))
	if err != nil {
		return usageError("trust material: %w", err)
	}
	fmt.Fprintf(a.stderr, "assay: fetching %s\n", plain(t.Mirror))
	source, err := k.Init(ctx, t)
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		err = withHint(err, "name another folder with --cache")
	}
	if err != nil {
		return &exitError{code: exitCannotTell, err: err}
	}
	v := sourceView(source, a.now())
	fmt.Fprintf(a.stdout, "%s: version %s is the default now, kept in %s\n", plain(v.Source), v.Version, a.materialFolder(o.cache))
	for _, line := range changed(nil, v.Members) {
		fmt.Fprintln(a.stdout, line)
	}
	return unusable([]*trustView{v})
}
