// Package configv1 is the messages and services of the configuration of a SPIRE agent's plugins, generated from the .proto file beside it (make proto).
package configv1
