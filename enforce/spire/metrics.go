package spire

// maxCounts is how many counts wait to be sent. Those that find no place are lost: a count must never hold up an answer.
const maxCounts = 1024

// count is one that is to be sent.
type count struct {
	name   string
	labels []string
}

// Count implements Meter. The counter's name in the agent is assay.NAME.
func (p *Plugin) Count(name string, labels ...string) {
	if p == nil {
		return
	}
	select {
	case p.counts <- count{name: name, labels: labels}:
	default:
	}
}
