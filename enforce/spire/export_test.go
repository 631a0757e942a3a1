package spire

import "time"

// SetConfigurePatience says how long a server waits for a configuration.
func SetConfigurePatience(s *Server, d time.Duration) { s.patience = d }
