// Package broker is the messages and services of references to workloads that a SPIRE agent's broker sends, generated from the .proto file beside it (make proto).
package broker
