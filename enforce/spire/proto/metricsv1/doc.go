// Package metricsv1 is the messages and services of the metrics that a SPIRE agent counts for its plugins, generated from the .proto file beside it (make proto).
package metricsv1
