package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/registry"
)

// registryOptions says how registries are reached.
type registryOptions struct {
	app          *app
	settings     string
	dockerConfig string
}

// registryFlags adds the flags about registries to a command.
func (a *app) registryFlags(cmd *cobra.Command) *registryOptions {
	o := &registryOptions{app: a}
	cmd.Flags().StringVar(&o.settings, "registries", "", "YAML `FILE` with CAs, credentials and mirrors of registries")
	cmd.Flags().StringVar(&o.dockerConfig, "docker-config", "", "`FOLDER` of a docker config.json (default $DOCKER_CONFIG, then ~/.docker)")
	return o
}

// registriesFile is the file that --registries names.
type registriesFile struct {
	Registries []registry.Settings `yaml:"registries" required:"true"`
}

// client makes the registry client that the flags describe. Paths in the settings are relative to the settings' own folder.
func (o *registryOptions) client() (*registry.Client, error) {
	var file registriesFile
	if o.settings != "" {
		data, err := readLimited(o.settings, policy.MaxPolicy)
		if err != nil {
			return nil, usageError("%w", err)
		}
		if err := policy.Decode(o.settings, data, &file); err != nil {
			return nil, usageError("%w", err)
		}
		anchor(file.Registries, filepath.Dir(o.settings))
	}
	client, err := registry.New(registry.Config{
		Registries:   file.Registries,
		DockerConfig: o.dockerFolder(),
		LoopbackHTTP: true,
		UserAgent:    "assay/" + versionText(),
	})
	if err != nil {
		return nil, usageError("%w", err)
	}
	return client, nil
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
