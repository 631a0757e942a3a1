package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/trust/sigstore/material"
)

func (a *app) trustUpdateCommand() *cobra.Command {
	var o trustOptions
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Fetch trust material now, and print what changed",
		Example: unwrapped(`
  assay trust update

  # the TUF repositories and the keys that policies name
  assay trust update --policy policies/

  # for a host without a network: fetch elsewhere, and carry the folder over
  assay trust update --cache ./sigstore-root`),
		Args: usageArgs(cobra.NoArgs),
	}
	whichFlags(cmd, &o)
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long it may take")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if timeout <= 0 {
			return usageError("--timeout %v: want more than 0", timeout)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		return a.trustUpdate(ctx, &o)
	}
	return cmd
}

func (a *app) trustUpdate(ctx context.Context, o *trustOptions) error {
	k, source, err := a.trustMaterial(o)
	if err != nil {
		return err
	}
	before := fetchedViews(k, a.now())
	if len(before) == 0 {
		return a.printNothing(source)
	}
	if a.materialConfig(material.Default{}, o.cache).Cache == "" {
		return &exitError{code: exitCannotTell, err: errors.New("there is no folder to keep it in; give one with --cache")}
	}
	for _, v := range before {
		fmt.Fprintf(a.stderr, "assay: fetching %s\n", plain(v.Source))
	}
	errs := []error{k.Refresh(ctx)}
	for i, after := range fetchedViews(k, a.now()) {
		errs = append(errs, a.printUpdate(before[i], after))
	}
	if err := errors.Join(errs...); err != nil {
		return &exitError{code: exitCannotTell, err: err}
	}
	return nil
}

// printNothing says that there is nothing to fetch.
func (a *app) printNothing(source material.Source) error {
	name := "the policies name nothing that is fetched"
	if source != nil {
		name = plain(source.Status(a.now()).Name) + ": given, nothing to fetch"
	}
	_, err := fmt.Fprintln(a.stdout, name)
	return err
}
