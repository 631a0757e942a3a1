//go:build unix

package workload

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A pipe in the place of a file is an error, and nobody waits for whoever writes to it: the configuration would, and each fetch.
func TestPLUGIN15_PipesAreNoFiles(t *testing.T) {
	a, folder := newAuthority(t), t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	cert, key := a.issue("agent")
	for file, content := range map[string][]byte{"ca.crt": a.pem(), "token": []byte("secret"), "cert.pem": cert, "key.pem": key} {
		write(t, at(file), content)
	}
	if err := syscall.Mkfifo(at("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]KubeletConfig{
		"unable to load kubelet CA: ":  {CAFile: at("pipe")},
		"unable to load token: ":       {TokenFile: at("pipe")},
		"unable to load certificate: ": {CertFile: at("pipe"), KeyFile: at("key.pem")},
		"unable to load private key: ": {CertFile: at("cert.pem"), KeyFile: at("pipe")},
	} {
		c.ServiceAccount = []string{folder}
		k, err := OpenKubelet(c)
		if err == nil {
			k.Close()
		}
		if err == nil || !strings.HasPrefix(err.Error(), want+at("pipe")+": is no plain file") {
			t.Errorf("%s%v", want, err)
		}
	}
}
