//go:build !windows

package workload

import "errors"

func (l *Locator) locate(pid int32) (Place, error) {
	before, err := l.config.Proc.started(pid)
	if err != nil && !errors.Is(err, ErrProcessGone) {
		return Place{}, err
	}
	absent := err
	place, err := l.inspect(pid)
	switch {
	case err != nil:
		if _, now := l.same(pid, place, before); absent == nil && now != nil {
			return Place{}, now // what cannot be read is no news of a process that has ended
		}
		return Place{}, err
	case absent == nil:
		return l.same(pid, place, before)
	case place.ContainerID != "": // of a process that was not there a moment ago
		return Place{}, absent
	}
	return place, nil
}
