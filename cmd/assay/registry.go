package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
	"github.com/assay-dev/assay/registry/cloud"
)

// registryOptions says how registries are reached.
type registryOptions struct {
	app          *app
	settings     string
	dockerConfig string
	keychains    []string
	trace        func(ctx context.Context, method, url string) (context.Context, func(int, error)) // nil: nobody is told of requests
	guarded      bool                                                                              // loopback registries need settings that allow them: others name the images

	// more adds settings from elsewhere to those of the file; nil: there are none.
	more          func(*reading, []registry.Settings) ([]registry.Settings, error)
	skipTLSVerify bool     // of all hosts without a CA of their own
	authFiles     []string // with credentials, beside the docker config
}

// registryFlags adds the flags about registries to a command.
func (a *app) registryFlags(cmd *cobra.Command) *registryOptions {
	o := &registryOptions{app: a}
	cmd.Flags().StringVar(&o.settings, "registries", "", "YAML `FILE` with CAs, credentials and mirrors of registries")
	cmd.Flags().StringVar(&o.dockerConfig, "docker-config", "", "`FOLDER` of a docker config.json (default $DOCKER_CONFIG, then ~/.docker)")
	cmd.Flags().StringArrayVar(&o.keychains, "keychain", nil, "`NAME` of a cloud whose own login is used for its registries: ecr, gcr or acr; may be repeated; a build choice")
	registerWords(cmd, "keychain", cloud.Names...)
	return o
}

// registriesFile is the file that --registries names.
type registriesFile struct {
	Registries []registry.Settings `yaml:"registries" required:"true"`
}

// client makes the registry client that the flags describe. Paths in the settings are relative to the settings' own folder.
func (o *registryOptions) client() (*registry.Client, error) { return o.clientOf(&reading{}) }

// clientOf does the same, and lets r know on which files the client depends.
func (o *registryOptions) clientOf(r *reading) (*registry.Client, error) {
	var file registriesFile
	if o.settings != "" {
		data, err := r.file(o.settings, policy.MaxPolicy)
		if err != nil {
			return nil, usageError("%w", err)
		}
		if err := policy.Decode(o.settings, data, &file); err != nil {
			return nil, usageError("%w", err)
		}
		anchor(file.Registries, filepath.Dir(o.settings))
	}
	if o.more != nil {
		var err error
		if file.Registries, err = o.more(r, file.Registries); err != nil {
			return nil, usageError("%w", err)
		}
	}
	o.note(r, file.Registries)
	keychains, err := cloud.Open(o.keychains...)
	if err != nil {
		return nil, usageError("--%w", err)
	}
	client, err := registry.New(registry.Config{
		Keychains:             keychains,
		Registries:            file.Registries,
		DockerConfig:          o.dockerFolder(),
		AuthFiles:             o.authFiles,
		LoopbackHTTP:          !o.guarded,
		UserAgent:             "assay/" + versionText(),
		Trace:                 o.trace,
		InsecureSkipTLSVerify: o.skipTLSVerify,
	})
	if err != nil {
		return nil, usageError("%w", err)
	}
	return client, nil
}

// note reads the files that the client reads when it is made, so that their changes are noticed. Passwords are read at each login.
func (o *registryOptions) note(r *reading, settings []registry.Settings) {
	names := append([]string{filepath.Join(o.dockerFolder(), "config.json")}, o.authFiles...)
	for i := range settings {
		names = append(names, settings[i].CAFile, settings[i].CertFile, settings[i].KeyFile)
	}
	for _, name := range names {
		if name != "" {
			_, _ = r.file(name, maxMaterial) // the client says what is wrong with it
		}
	}
}

func anchor(settings []registry.Settings, folder string) {
	for i := range settings {
		for _, path := range []*string{&settings[i].CAFile, &settings[i].CertFile, &settings[i].KeyFile, &settings[i].PasswordFile} {
			if *path != "" && !filepath.IsAbs(*path) {
				*path = filepath.Join(folder, *path)
			}
		}
	}
}

func (o *registryOptions) dockerFolder() string {
	if o.dockerConfig != "" {
		return o.dockerConfig
	}
	if folder := o.app.getenv("DOCKER_CONFIG"); folder != "" {
		return folder
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".docker")
}

// readLimited reads a file of at most limit bytes; one byte more is read, so that the reader of its content refuses it by its own
// limit and text.
func readLimited(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return content, nil
}

// guardedMode refuses a file that others than its owner may write to. On Windows a mode says nothing of that.
func guardedMode(info fs.FileInfo) error {
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o022 != 0 {
		return fmt.Errorf("others may write to it (mode %04o); take that away", mode)
	}
	return nil
}
