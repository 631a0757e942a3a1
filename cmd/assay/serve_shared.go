package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/engine/shared"
)

// maxPasswordFile is the most that is read of a file with a password.
const maxPasswordFile = 4 << 10

// sharedOptions are the flags of servers that share with others what was proved.
type sharedOptions struct {
	url      string
	keys     string
	user     string
	password string
	ca       string

	address shared.Address // of url
}

func sharedFlags(cmd *cobra.Command) *sharedOptions {
	o := &sharedOptions{}
	f := cmd.Flags()
	f.StringVar(&o.url, "shared-cache", "", "`URL` of a Valkey or Redis in which replicas share what was proved: redis://HOST:PORT, rediss:// with TLS, or unix:///SOCKET; needs --shared-cache-key")
	f.StringVar(&o.keys, "shared-cache-key", "", "`FILE` with a key on each line (openssl rand -base64 32), the same for all replicas: the first makes entries, all open them; read again when it changes")
	f.StringVar(&o.user, "shared-cache-user", "", "`NAME` of the user at --shared-cache")
	f.StringVar(&o.password, "shared-cache-password-file", "", "`FILE` with the password at --shared-cache; read again when it changes")
	f.StringVar(&o.ca, "shared-cache-ca", "", "PEM `FILE` with the authorities of the certificate of --shared-cache, in the place of the host's; read again when it changes")
	return o
}

// on reports whether something is shared.
func (o *sharedOptions) on() bool { return o != nil && o.url != "" }

// check refuses command lines that leave open with whom and how to share.
func (o *sharedOptions) check() error {
	if o == nil {
		return nil
	}
	if o.url == "" {
		if o.keys != "" || o.user != "" || o.password != "" || o.ca != "" {
			return usageError("--shared-cache-key, -user, -password-file and -ca go with --shared-cache")
		}
		return nil
	}
	var err error
	if o.address, err = shared.ParseAddress(o.url); err != nil {
		return usageError("--shared-cache: %w", err)
	}
	switch {
	case o.keys == "":
		return withHint(usageError("--shared-cache without --shared-cache-key: nobody could tell an entry from a forged one"),
			"openssl rand -base64 32 makes a key; all replicas need the same")
	case o.user != "" && o.password == "":
		return usageError("--shared-cache-user without --shared-cache-password-file")
	case o.ca != "" && !o.address.TLS():
		return usageError("--shared-cache-ca without TLS: write rediss:// in --shared-cache")
	}
	return nil
}

// settings reads the files that the flags name.
func (o *sharedOptions) settings(r *reading) (shared.Settings, error) {
	s := shared.Settings{User: o.user}
	content, err := r.file(o.keys, shared.MaxKeyFile)
	if err == nil {
		err = guardedFile(o.keys)
	}
	if err == nil {
		s.Keys, err = shared.ParseKeys(content)
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", o.keys, err)
	}
	if o.password != "" {
		content, err := r.file(o.password, maxPasswordFile)
		if err != nil {
			return s, err
		}
		if s.Password = string(bytes.TrimRight(content, "\r\n")); s.Password == "" || len(content) > maxPasswordFile {
			return s, fmt.Errorf("%s: holds no password of at most %d bytes", o.password, maxPasswordFile)
		}
	}
	if o.ca != "" {
		content, err := r.file(o.ca, maxMaterial)
		if err != nil {
			return s, err
		}
		pool := x509.NewCertPool()
		if len(content) > maxMaterial || !pool.AppendCertsFromPEM(content) {
			return s, fmt.Errorf("%s: holds no certificate in PEM, or too much", o.ca)
		}
		s.TLS = &tls.Config{RootCAs: pool}
	}
	return s, nil
}

// guardedFile refuses a file of keys that others may write to: whoever has a key makes answers that count.
func guardedFile(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return guardedMode(info)
}

// othersRead reports whether a file of keys can be read by everybody on the host.
func othersRead(name string) bool {
	info, err := os.Stat(name)
	return err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o004 != 0
}

// share prepares what the flags ask for; nil where nothing is shared.
func (s *server) share() (engine.Shared, error) {
	o := s.options.shared
	if !o.on() {
		return nil, nil
	}
	load := func(r *reading) error {
		settings, err := o.settings(r)
		if err != nil {
			return err
		}
		if othersRead(o.keys) {
			s.log.Warn("everybody on this host can read the keys of the shared cache: whoever has one makes answers that count", "file", o.keys)
		}
		if s.shared != nil {
			return s.shared.Use(settings)
		}
		s.shared, err = shared.New(shared.Config{
			Address: o.address, Program: versionText(), Log: s.log, Count: s.metrics.sharing(), Now: s.app.now,
		}, settings)
		return err
	}
	if err := s.watch("shared-cache", load); err != nil {
		return nil, err
	}
	if o.password != "" && !o.address.Private() {
		s.log.Warn("the password of the shared cache goes over the network as it is; with rediss:// it would not", "url", o.url)
	}
	s.metrics.look = append(s.metrics.look, func() { s.metrics.sharedAway(s.shared.Away()) })
	return s.shared, nil
}

// sharedMetrics counts what becomes of the shared cache.
type sharedMetrics struct {
	recalls, keeps *prometheus.CounterVec
	away           *prometheus.GaugeVec
}

// sharing adds the metrics of a shared cache, and returns what counts its events.
func (m *serverMetrics) sharing() func(shared.Event) {
	m.shared = &sharedMetrics{
		recalls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_shared_cache_recalls_total", Help: "Questions to the shared cache, by what came of them.",
		}, []string{"result"}),
		keeps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_shared_cache_keeps_total", Help: "Proofs for the shared cache, by what became of them.",
		}, []string{"result"}),
		away: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "assay_shared_cache_away", Help: "1 while the shared cache is left alone because it failed.",
		}, []string{"what"}),
	}
	m.registry.MustRegister(m.shared.recalls, m.shared.keeps, m.shared.away)
	counters := map[shared.Event]prometheus.Counter{
		shared.Hit:     m.shared.recalls.WithLabelValues("hit"),
		shared.Miss:    m.shared.recalls.WithLabelValues("miss"),
		shared.Refused: m.shared.recalls.WithLabelValues("refused"),
		shared.Failed:  m.shared.recalls.WithLabelValues("failed"),
		shared.Skipped: m.shared.recalls.WithLabelValues("skipped"),
		shared.Kept:    m.shared.keeps.WithLabelValues("kept"),
		shared.Dropped: m.shared.keeps.WithLabelValues("dropped"),
		shared.Unkept:  m.shared.keeps.WithLabelValues("failed"),
	}
	for what := range counters {
		counters[what].Add(0)
	}
	return func(e shared.Event) { counters[e].Inc() }
}

func (m *serverMetrics) sharedAway(recalling, keeping bool) {
	for what, away := range map[string]bool{"recalling": recalling, "keeping": keeping} {
		value := 0.0
		if away {
			value = 1
		}
		m.shared.away.WithLabelValues(what).Set(value)
	}
}
