// Package attestorv1 is the messages and services of a SPIRE agent's workload attestors, generated from the .proto file beside it (make proto).
package attestorv1
