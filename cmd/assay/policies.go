package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust/formats"
	"github.com/assay-dev/assay/trust/notaryv1"
	"github.com/assay-dev/assay/trust/notation"
	"github.com/assay-dev/assay/trust/sigstore"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// policyFlag adds the flag that names policies.
func policyFlag(cmd *cobra.Command) *[]string {
	paths := cmd.Flags().StringArrayP("policy", "p", nil, "policy `FILE`, or folder of *.yaml and *.yml files; may be repeated")
	if err := cmd.MarkFlagRequired("policy"); err != nil {
		panic(err)
	}
	return paths
}

func formatNames() []string {
	var names []string
	for _, f := range formats.All(formats.Config{}) {
		names = append(names, f.Name())
	}
	return names
}

// loadPolicies reads policies from files and folders.
func loadPolicies(paths []string) ([]*policy.Policy, error) {
	files, err := policyFiles(paths)
	if err != nil {
		return nil, err
	}
	return readPolicies(files, readLimited)
}

// readPolicies reads policies, and what they name, with read. The error joins what is wrong with each of them.
func readPolicies(files []string, read readFunc) ([]*policy.Policy, error) {
	var policies []*policy.Policy
	var errs []error
	for _, file := range files {
		p, err := readPolicy(file, read)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		policies = append(policies, p)
	}
	return policies, errors.Join(errs...)
}

func policyFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, err
		case !info.IsDir():
			files = append(files, path)
			continue
		}
		inside, err := folderFiles(path)
		if err != nil {
			return nil, err
		}
		files = append(files, inside...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// folderFiles lists the policies of a folder, and not those below it.
func folderFiles(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		if !e.IsDir() && (ext == ".yaml" || ext == ".yml") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(folder, e.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: no *.yaml or *.yml file in this folder", folder)
	}
	return files, nil
}

func readPolicy(file string, read readFunc) (*policy.Policy, error) {
	data, err := read(file, policy.MaxPolicy)
	if err != nil {
		return nil, err
	}
	return policy.Parse(policy.Source{
		Name: file,
		Data: data,
		ReadFile: func(name string) ([]byte, error) {
			if !filepath.IsAbs(name) {
				name = filepath.Join(filepath.Dir(file), name)
			}
			return read(name, policy.MaxFile)
		},
	}, formatNames())
}

// peers is what an engine works with beside policies.
type peers struct {
	source  registrySource
	keeper  *material.Keeper      // nil: none
	revoked *notation.Revocations // nil: what is learned is kept for this engine, and not refreshed
	seen    notaryv1.Store        // nil: in memory
	timeout time.Duration         // of one decision; 0 is the default
	tracer  trace.Tracer          // nil: nothing is traced
	shared  engine.Shared         // nil: nothing is shared with others
}

// newEngine makes the engine for policies that were loaded, and prints what their authorities warn of.
func (a *app) newEngine(policies []*policy.Policy, p peers) (*engine.Engine, error) {
	e, err := a.makeEngine(policies, p)
	if err != nil {
		return nil, err
	}
	a.warnOf(e.Warnings()...)
	return e, nil
}

// makeEngine makes the engine for policies that were loaded. Errors are the user's: the policies cannot be used.
func (a *app) makeEngine(policies []*policy.Policy, p peers) (*engine.Engine, error) {
	if p.revoked == nil {
		p.revoked = notation.NewRevocations(nil, a.now)
	}
	e, err := engine.New(engine.Config{
		Policies: policies,
		Formats: formats.All(formats.Config{
			Sigstore: sigstore.Config{Material: p.keeper},
			NotaryV1: notaryv1.Config{Store: p.seen, Now: a.now},
			Notation: notation.Config{Revocations: p.revoked},
		}),
		Source:  p.source,
		Tags:    p.source,
		Now:     a.now,
		Timeout: p.timeout,
		Tracer:  p.tracer,
		Shared:  p.shared,
	})
	if err != nil {
		return nil, usageError("%w", err)
	}
	return e, nil
}
