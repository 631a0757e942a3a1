package workload

import (
	"errors"
	"fmt"
	"testing"
)

// fakeJobs is a Windows with these handles.
type fakeJobs struct {
	running map[uint32]string
	all     []fakeHandle
	err     error
	opened  int
}

type fakeHandle struct {
	owner                 uint32
	typ, title            string
	members               []int32
	openErr, typErr       error
	containsErr, titleErr error
}

func (f *fakeJobs) processes() (map[uint32]string, error) { return f.running, f.err }

func (f *fakeJobs) handles() ([]systemHandle, error) {
	var all []systemHandle
	for i, h := range f.all {
		all = append(all, systemHandle{owner: h.owner, value: uintptr(i)})
	}
	return all, nil
}

func (f *fakeJobs) open(h systemHandle) (jobHandle, error) {
	of := f.all[h.value]
	if of.openErr != nil {
		return nil, of.openErr
	}
	f.opened++
	return &fakeOpen{of, f}, nil
}

type fakeOpen struct {
	fakeHandle
	of *fakeJobs
}

func (h *fakeOpen) kind() (string, error) { return h.typ, h.typErr }
func (h *fakeOpen) name() (string, error) { return h.title, h.titleErr }
func (h *fakeOpen) close()                { h.of.opened-- }
func (h *fakeOpen) contains(pid int32) (bool, error) {
	if h.typ != jobType {
		return false, errors.New("asked of what is no job")
	}
	for _, m := range h.members {
		if m == pid {
			return true, h.containsErr
		}
	}
	return false, h.containsErr
}

func TestDOCKER20_Jobs(t *testing.T) {
	const compute, other = 4, 5
	running := map[uint32]string{compute: "vmcompute.exe", other: "other.exe", 6: "VMCompute.exe"}
	job := func(owner uint32, title string, members ...int32) fakeHandle {
		return fakeHandle{owner: owner, typ: "Job", title: title, members: members}
	}
	with := func(h fakeHandle, change func(*fakeHandle)) fakeHandle { change(&h); return h }
	denied := fmt.Errorf("%w: access is denied", errSkipHandle)
	tests := []struct {
		name string
		all  []fakeHandle
		want string
		err  string
	}{
		{"none", nil, "", ""},
		{"its job", []fakeHandle{job(compute, `\Container_abc`, 7), job(compute, `\Container_def`, 8)}, "abc", ""},
		{"two handles of one job", []fakeHandle{job(compute, `\Container_abc`, 7), job(compute, `\Container_abc`, 7)}, "abc", ""},
		{"two jobs", []fakeHandle{job(compute, `\Container_abc`, 7), job(compute, `\Container_def`, 7)}, "", "failed to get container ID: process has multiple jobs: [abc def]"},
		{"a job of another name", []fakeHandle{job(compute, `\Job_abc`, 7), job(compute, `Container_abc`, 7), job(compute, "", 7)}, "", ""},
		{"another's job", []fakeHandle{job(other, `\Container_abc`, 7)}, "", ""},
		{"a name in another case", []fakeHandle{job(6, `\Container_abc`, 7)}, "", ""},
		{"no job", []fakeHandle{{owner: compute, typ: "File", title: `\Container_abc`, members: []int32{7}}}, "", ""},
		{"handles that deny", []fakeHandle{
			with(job(compute, `\Container_a`, 7), func(h *fakeHandle) { h.openErr = denied }),
			with(job(compute, `\Container_b`, 7), func(h *fakeHandle) { h.typErr = denied }),
			with(job(compute, `\Container_c`, 7), func(h *fakeHandle) { h.containsErr = denied }),
			with(job(compute, `\Container_d`, 7), func(h *fakeHandle) { h.titleErr = denied }),
			job(compute, `\Container_abc`, 7),
		}, "abc", ""},
		{"a handle that fails", []fakeHandle{with(job(compute, `\Container_a`, 7), func(h *fakeHandle) { h.containsErr = errors.New("on fire") })}, "", "failed to get container ID: on fire"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			table := &fakeJobs{running: running, all: test.all}
			got, err := containerOfJobs(table, 7)
			if got != test.want || (err != nil || test.err != "") && (err == nil || err.Error() != test.err) {
				t.Errorf("got %q, %v", got, err)
			}
			if table.opened != 0 {
				t.Errorf("%d handles are left open", table.opened)
			}
		})
	}
	if _, err := containerOfJobs(&fakeJobs{err: errors.New("no list")}, 7); err == nil || err.Error() != "failed to get container ID: no list" {
		t.Errorf("got %v", err)
	}
}
