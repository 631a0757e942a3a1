// Package initv1 is the messages and services of the first and the last call to a SPIRE agent's plugins, generated from the .proto file beside it (make proto).
package initv1
