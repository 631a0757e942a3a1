package cluster

import "time"

// SetNow gives pull secrets a clock.
func (p *PullSecrets) SetNow(now func() time.Time) { p.now = now }
