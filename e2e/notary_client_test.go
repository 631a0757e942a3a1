//go:build e2e

package e2e

import (
	"errors"
	"os"
	"path/filepath"
)

// notaryPassphrase opens every key of the stories.
const notaryPassphrase = "story-passphrase"

// clients lets Notary's command line and docker trust use the server: in their files below home and Docker's configuration.
func (n *notary) clients(home, docker string) error {
	config := filepath.Join(home, ".notary")
	tls := filepath.Join(docker, "tls", n.host())
	if err := errors.Join(os.MkdirAll(config, 0o700), os.MkdirAll(tls, 0o700)); err != nil {
		return err
	}
	ca, err := os.ReadFile(n.file("notary-ca.pem"))
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(tls, "ca.crt"), ca, 0o600), (&notary{folder: config}).writeJSON("config.json", object{
		"trust_dir": config, "remote_server": object{"url": n.url(), "root_ca": n.file("notary-ca.pem")},
	}))
}

// env is what their programs find in the environment.
func (n *notary) env() []string {
	env := []string{"DOCKER_CONTENT_TRUST_SERVER=" + n.url()}
	for _, name := range []string{
		"NOTARY_ROOT", "NOTARY_TARGETS", "NOTARY_SNAPSHOT", "NOTARY_DELEGATION", "DOCKER_CONTENT_TRUST_ROOT", "DOCKER_CONTENT_TRUST_REPOSITORY",
	} {
		env = append(env, name+"_PASSPHRASE="+notaryPassphrase)
	}
	return env
}
