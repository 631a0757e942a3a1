package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// metrics counts verdicts. Its names are a promise, see docs/reference/metrics.md; no label has anything of an image in it.
type metrics struct {
	registry    *prometheus.Registry
	decisions   *prometheus.CounterVec
	authorities *prometheus.CounterVec
	weakened    *prometheus.CounterVec
	duration    prometheus.Histogram
	age         *prometheus.GaugeVec
	stale       *prometheus.GaugeVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_decisions_total", Help: "Images that were decided about, by what enforcing gives and the policy's mode.",
		}, []string{"outcome", "mode"}),
		authorities: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_authority_outcomes_total", Help: "What authorities said about images.",
		}, []string{"format", "outcome"}),
		weakened: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_weakened_total", Help: "Proofs that rest on a check which a field of the policy made weaker.",
		}, []string{"field"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "assay_decision_duration_seconds", Help: "How long decisions took.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
		}),
		age: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "assay_trust_material_age_seconds", Help: "How long ago trust material was last proved to be current.",
		}, []string{"source"}),
		stale: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "assay_trust_material_stale", Help: "1 if trust material should have been refreshed.",
		}, []string{"source"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "assay_build_info", Help: "Always 1."}, []string{"version", "goversion"})
	build.WithLabelValues(versionText(), runtime.Version()).Set(1)
	m.registry.MustRegister(m.decisions, m.authorities, m.weakened, m.duration, m.age, m.stale, build)
	return m
}

// observe counts a verdict.
func (m *metrics) observe(v *engine.Verdict) {
	mode := v.Mode
	if mode == "" {
		mode = "none"
	}
	m.decisions.WithLabelValues(v.Outcome.String(), mode).Inc()
	m.duration.Observe(v.Duration.Total.Seconds())
	m.heard(v.Authorities)
	for i := range v.Also {
		m.heard(v.Also[i].Authorities)
	}
}

// heard counts what authorities said.
func (m *metrics) heard(authorities []engine.Attestation) {
	for i := range authorities {
		at := &authorities[i]
		m.authorities.WithLabelValues(at.Format, at.Standing.String()).Inc()
		if at.Standing != engine.Proved {
			continue
		}
		for _, w := range at.Weakened {
			m.weakened.WithLabelValues(fieldName(w)).Inc()
		}
	}
}

// material records how old trust material is. source is a mirror's URL or a key's reference, as the configuration has it.
func (m *metrics) material(source string, age time.Duration, stale bool) {
	m.age.WithLabelValues(source).Set(age.Seconds())
	value := 0.0
	if stale {
		value = 1
	}
	m.stale.WithLabelValues(source).Set(value)
}

var leadingField = regexp.MustCompile(`^[a-zA-Z][a-zA-Z.]{0,63}`)

// fieldName cuts what follows the name of a field, so that values of policies make no labels.
func fieldName(weakened string) string {
	if name := leadingField.FindString(weakened); name != "" {
		return name
	}
	return "other"
}

// write replaces a file by the metrics, at once: a collector sees the old ones or the new ones.
func (m *metrics) write(file string) error { return prometheus.WriteToTextfile(file, m.registry) }

// checkMetricsFile says early that a file cannot be written. What is no file is not replaced: that would remove /dev/stdout.
func checkMetricsFile(file string) error {
	if file == "" {
		return nil
	}
	folder, err := os.Stat(filepath.Dir(file))
	switch {
	case err != nil:
		return err
	case !folder.IsDir():
		return fmt.Errorf("%s: is no folder", filepath.Dir(file))
	}
	info, err := os.Lstat(file)
	if err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: is no plain file; name one that can be replaced, such as assay.prom", file)
	}
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// writeMetrics writes what verdicts count. That it cannot is told, and changes no verdict.
func (a *app) writeMetrics(file string, verdicts []engine.Verdict, fetched []material.Status) {
	if file == "" {
		return
	}
	m := newMetrics()
	for i := range verdicts {
		m.observe(&verdicts[i])
	}
	for _, s := range fetched {
		m.material(s.Name, s.Age, s.Stale)
	}
	if err := m.write(file); err != nil {
		fmt.Fprintf(a.stderr, "assay: warning: --metrics-file: %s\n", err)
	}
}
