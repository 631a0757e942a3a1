package workload

import "fmt"

// locate asks for the job object: no rule of cgroups has a meaning here.
func (l *Locator) locate(pid int32) (Place, error) {
	before, err := l.config.Proc.started(pid)
	if err != nil {
		return Place{}, fmt.Errorf("failed to get container ID: %w", err)
	}
	id, err := containerOfJobs(windowsJobs{}, pid)
	if err != nil {
		return Place{}, err
	}
	return l.same(pid, Place{ContainerID: id}, before)
}
