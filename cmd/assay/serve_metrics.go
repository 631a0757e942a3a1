package main

import (
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/assay-dev/assay/engine"
	"github.com/assay-dev/assay/policy"
	"github.com/assay-dev/assay/trust/sigstore/material"
)

// serverMetrics is what a server counts beside verdicts. Its labels have a few words each, see docs/reference/metrics.md.
type serverMetrics struct {
	*metrics
	requests  prometheus.Gauge
	points    *prometheus.CounterVec
	bugs      prometheus.Counter
	turned    *prometheus.CounterVec
	loads     *prometheus.CounterVec
	refused   *prometheus.GaugeVec
	events    *prometheus.CounterVec
	displaced prometheus.Counter
	policies  *prometheus.GaugeVec
	silence   *prometheus.GaugeVec
	silent    *prometheus.GaugeVec
	copyAge   prometheus.Gauge // of a node with the policies of a cluster; else not registered

	shared *sharedMetrics // nil: nothing is shared

	look []func() // at what is told as it is at that moment
}

func newServerMetrics() *serverMetrics {
	m := &serverMetrics{
		metrics: newMetrics(),
		requests: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "assay_requests_in_flight", Help: "Requests that are being answered.",
		}),
		points: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_point_decisions_total", Help: "Images that were decided about, by the point that asked and by what enforcing gives.",
		}, []string{"outcome", "point"}),
		bugs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "assay_bugs_total", Help: "Panics that were caught outside of decisions.",
		}),
		turned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_requests_refused_total", Help: "Requests that were not answered with a verdict, by why.",
		}, []string{"reason"}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_reloads_total", Help: "How often files were read, by what they are and by whether they could be used.",
		}, []string{"what", "result"}),
		refused: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "assay_reload_refused", Help: "1 if what stands in the files cannot be used, so that what was there before is in force.",
		}, []string{"what"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "assay_events_total", Help: "Events for people in the cluster, by what became of them.",
		}, []string{"result"}),
		displaced: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "assay_connections_refused_total", Help: "Connections that were closed because too many were open.",
		}),
		policies: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "assay_policies", Help: "Policies that are objects of the cluster, by whether what stands in them is in force.",
		}, []string{"kind", "state"}),
		silence: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "assay_watch_silence_seconds", Help: "How long ago the API server last told of what is watched; 0 while the watch stands.",
		}, []string{"what"}),
		silent: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "assay_watch_stale", Help: "1 if a watch has not stood for so long that what is known may be old.",
		}, []string{"what"}),
		copyAge: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "assay_policies_copy_age_seconds", Help: "How old the copy of the cluster's policies is that decides; 0 if the API server has told of them since the start.",
		}),
	}
	m.registry.MustRegister(m.requests, m.points, m.bugs, m.turned, m.loads, m.refused, m.events, m.displaced, m.policies, m.silence, m.silent,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// otherPoint stands for what is no point's name, in metrics.
const otherPoint = "other"

// decided counts a verdict for the point that asked, whose name can be anybody's text.
func (m *serverMetrics) decided(point string, v *engine.Verdict) {
	m.observe(v)
	if !slices.Contains(policy.Points(), point) {
		point = otherPoint
	}
	m.points.WithLabelValues(v.Outcome.String(), point).Inc()
}

// refuse counts a request that got no verdict; reason is one of a few words.
func (m *serverMetrics) refuse(reason string) { m.turned.WithLabelValues(reason).Inc() }

// event counts an Event of Kubernetes by what became of it.
func (m *serverMetrics) event(result string) { m.events.WithLabelValues(result).Inc() }

// loaded counts a load of files; err says why they cannot be used.
func (m *serverMetrics) loaded(what string, err error) {
	result, refused := "used", 0.0
	if err != nil {
		result, refused = "refused", 1
	}
	m.loads.WithLabelValues(what, result).Inc()
	m.refused.WithLabelValues(what).Set(refused)
}

// handler serves the metrics; material is asked for what is in use at that moment.
func (m *serverMetrics) handler(statuses func() []material.Status) http.Handler {
	served := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, s := range statuses() {
			m.material(s.Name, s.Age, s.Stale)
		}
		for _, look := range m.look {
			look()
		}
		served.ServeHTTP(w, r)
	})
}
