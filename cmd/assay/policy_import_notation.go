package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/convert"
)

// maxStoreFiles is how many files of one trust store of notation are read.
const maxStoreFiles = 500

func (a *app) importNotationCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notation FILE",
		Short: "Import a trustpolicy.json of notation",
		Long: strings.TrimSpace(`
Import a trustpolicy.json of notation, with its trust stores; - is standard input.

Each statement becomes an authority and a rule: those of repositories first, that of
the scope * last, which is the order in which notation looks. Without --trust-store the
policy names files beside it for the certificates. Level skip becomes a rule that allows.`),
		Example: unwrapped(`
  assay policy import notation --trust-store ~/.config/notation/truststore ~/.config/notation/trustpolicy.json > policy.yaml`),
		Args: usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	o := &importOptions{app: a}
	var trustStore once
	f := cmd.Flags()
	f.SortFlags = false
	f.Var(&o.name, "name", "`NAME` of the policy (default notation)")
	f.Var(&trustStore, "trust-store", "`FOLDER` with the trust stores, x509/ca/NAME and so on, whose certificates go into the policy")
	f.VarP(&o.output, "output", "o", "write the policy to `FILE`, which must not exist (default standard output)")
	registerWords(cmd, "name")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		name, data, err := a.readImported(args[0])
		if err != nil {
			return usageError("%w", err)
		}
		options := convert.NotationOptions{Name: o.name.String()}
		if trustStore != "" {
			if options.Stores, err = readTrustStores(trustStore.String()); err != nil {
				return usageError("--trust-store: %w", err)
			}
		}
		result, err := convert.Notation(name, data, options)
		if err != nil {
			return usageError("%w", err)
		}
		return o.write(result)
	}
	return cmd
}

// readTrustStores reads the certificates of all trust stores in a folder, by "TYPE:NAME".
func readTrustStores(folder string) (map[string]string, error) {
	stores := map[string]string{}
	for _, kind := range []string{"ca", "signingAuthority", "tsa"} {
		names, err := os.ReadDir(filepath.Join(folder, "x509", kind))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := readTrustStore(filepath.Join(folder, "x509", kind, name.Name()))
			if err != nil {
				return nil, err
			}
			stores[kind+":"+name.Name()] = text
		}
	}
	if len(stores) == 0 {
		return nil, fmt.Errorf("%s: holds no trust store; want x509/ca/NAME, with certificates in files", folder)
	}
	return stores, nil
}

func readTrustStore(folder string) (string, error) {
	files, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	if len(files) > maxStoreFiles {
		return "", fmt.Errorf("%s: %d files, at most %d are read", folder, len(files), maxStoreFiles)
	}
	var b strings.Builder
	for _, file := range files {
		name := filepath.Join(folder, file.Name())
		data, err := readWhole(name)
		if err != nil {
			return "", err
		}
		if !bytes.Contains(data, []byte("-----BEGIN")) { // notation takes DER as well
			certs, err := x509.ParseCertificates(data)
			if err != nil {
				return "", fmt.Errorf("%s: is a certificate neither in PEM nor in DER", name)
			}
			for _, c := range certs {
				b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
			}
			continue
		}
		text, _, err := publicPEM(data, "CERTIFICATE")
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
