package spire

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Users, containers and virtual machines call cgroups of their own as they like. One that has the name of a container is not it.
func TestT52_CgroupsInTheNameOfAnother(t *testing.T) {
	const first, pid = 40, 41
	for name, row := range map[string]struct {
		container, process string // cgroups
		inside             bool
	}{
		"in it":                   {"0::/docker/" + idC, "0::/docker/" + idC, true},
		"below it":                {"0::/system.slice/docker-" + idC + ".scope/init.scope", "0::/system.slice/docker-" + idC + ".scope/system.slice/a.service", true},
		"from a namespace":        {"0::/../" + idC, "0::/../" + idC + "/a", true},
		"by some controllers":     {"2:cpu:/docker/" + idC + "\n1:a:/", "2:cpu:/docker/" + idC + "\n1:a:/x", true},
		"a user's":                {"0::/docker/" + idC, "0::/user.slice/user-7.slice/user@7.service/docker-" + idC + ".scope", false},
		"a user's, same segment":  {"0::/system.slice/docker-" + idC + ".scope", "0::/user.slice/user-7.slice/user@7.service/docker-" + idC + ".scope", false},
		"a container's":           {"0::/docker/" + idC, "0::/docker/" + idI + "/docker/" + idC, false},
		"a virtual machine's":     {"0::/docker/" + idC, "0::/machine.slice/m.scope/payload/docker/" + idC, false},
		"in one hierarchy":        {"2:cpu:/docker/" + idC + "\n1:name=systemd:/", "2:cpu:/\n1:name=systemd:/user.slice/" + idC, false},
		"in one more":             {"2:cpu:/docker/" + idC + "\n1:name=systemd:/", "2:cpu:/docker/" + idC + "\n1:name=systemd:/user.slice/" + idC, false},
		"a part of the name more": {"0::/docker/" + idC, "0::/docker/" + idC + "-x", false},
	} {
		t.Run(name, func(t *testing.T) {
			p, d := &processes{}, startDaemon(t)
			p.set(first, 5, row.container+"\n")
			p.set(pid, 6, row.process+"\n")
			d.run(idC, fmt.Sprintf(`{"Id":%q,"State":{"Pid":%d},"Config":{"Labels":{"a":"b"}}}`, idC, first))
			got, err := configured(t, attestor(p, nil), `docker_socket_path = "`+d.host()+`"`).Attest(t.Context(), pid)
			switch {
			case row.inside && (err != nil || len(got) != 1):
				t.Errorf("got %q, %v", got, err)
			case !row.inside && (len(got) > 0 || status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "is not in the container's")):
				t.Errorf("got %q, %v", got, err)
			}
			if n := d.count("containers"); n > 2 {
				t.Errorf("asked %d times", n)
			}
		})
	}
}

// A container that has ended is nobody's, and one that was started again is asked for anew.
func TestT52_ContainersThatDoNotRun(t *testing.T) {
	p, d := &processes{}, startDaemon(t)
	in := "0::/docker/" + idC + "\n"
	p.set(40, 5, in)
	p.set(41, 6, in)
	run := func(pid int) {
		d.run(idC, fmt.Sprintf(`{"Id":%q,"State":{"Pid":%d},"Config":{"Labels":{"a":"b"}}}`, idC, pid))
	}
	run(0)
	s := configured(t, attestor(p, nil), `docker_socket_path = "`+d.host()+`"`)
	want := `Unavailable: could not tell, try again: container "` + idC + `" does not run`
	if got, err := s.Attest(t.Context(), 41); len(got) > 0 || says(err) != want {
		t.Errorf("got %q, %s", got, says(err))
	}
	run(40)
	if got, err := s.Attest(t.Context(), 41); len(got) != 1 || err != nil {
		t.Errorf("started: got %q, %v", got, err)
	}
	p.end(40)
	p.set(50, 7, in)
	run(50) // and no event says so
	if got, err := s.Attest(t.Context(), 41); len(got) != 1 || err != nil {
		t.Errorf("started again: got %q, %v", got, err)
	}
	p.end(50)
	if got, err := s.Attest(t.Context(), 41); len(got) > 0 || status.Code(told(err, nil)) != codes.Unavailable {
		t.Errorf("its process is not there: got %q, %v", got, err)
	}
}

// A pod's name in what a user, a container or a virtual machine was given is no pod, unless the agent is in the same.
func TestT52_PodsInTheNameOfAnother(t *testing.T) {
	pod := "/kubepods.slice/kubepods-pod" + strings.ReplaceAll(uid1, "-", "_") + ".slice/cri-containerd-" + idC + ".scope"
	outer := strings.Repeat("d", 64)
	for name, row := range map[string]struct {
		own, process string
		found        bool
	}{
		"a pod's":                        {"/system.slice/agent.service", pod, true},
		"from a namespace":               {"/", "/../.." + pod, true},
		"beside Docker, without a pod":   {"/", "/docker/" + idC, true},
		"a node in a container":          {"/docker/" + outer + "/kubelet/kubepods/x", "/docker/" + outer + "/kubelet" + pod, true},
		"a kubelet of a user":            {"/user.slice/user-7.slice/k", "/user.slice/user-7.slice/k" + pod, true},
		"a user's":                       {"/system.slice/agent.service", "/user.slice/user-7.slice/user@7.service" + pod, false},
		"a user's, without a pod":        {"/", "/user.slice/user-7.slice/user@7.service/docker-" + idC + ".scope", false},
		"another user's":                 {"/user.slice/user-7.slice/k", "/user.slice/user-8.slice/k" + pod, false},
		"a container's":                  {"/", "/docker/" + outer + pod, false},
		"a pod's in a pod":               {"/", "/kubepods/pod" + uid2 + "/" + idI + "/pod" + uid1 + "/" + idC, false},
		"a pod's in a pod's, namespaces": {"/", "/../../kubepods-pod" + uid2 + ".slice/cri-containerd-" + idI + ".scope" + pod, false},
		"another in the same pod":        {"/", "/kubepods/pod" + uid1 + "/" + idI + "/" + idC, false},
		"a virtual machine's":            {"/", "/machine.slice/m.scope" + pod, false},
		"a system container's":           {"/", "/lxc.payload.m" + pod, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &processes{}
			p.set(7, 5, "0::"+row.process+"\n")
			p.setOwn("0::" + row.own + "\n")
			n := startNode(t, onePod(uid1, "victim", idC), onePod(uid2, "attacker", idI))
			got, err := configured(t, kubernetes(p, nil, nil), n.hcl("")).Attest(t.Context(), 7)
			switch {
			case row.found && (err != nil || len(got) == 0):
				t.Errorf("got %q, %v", got, err)
			case !row.found && (len(got) > 0 || status.Code(err) != codes.FailedPrecondition):
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// A cgroup that only looks like one of a pod's beside the kubelet says nothing about where the node has its pods: containers of others are told from
// them as before, after one list.
func TestT52_AForgedCgroupTeachesNothing(t *testing.T) {
	p := &processes{}
	p.set(7, 5, "0::/user.slice/user-7.slice/user@7.service/docker-"+idC+".scope\n")
	p.set(8, 6, "0::/docker/"+strings.Repeat("d", 64)+"\n")
	n := startNode(t, onePod(uid1, "victim", idC))
	s := configured(t, kubernetes(p, nil, nil), n.hcl(""))
	if got, err := s.Attest(t.Context(), 7); len(got) > 0 || status.Code(err) != codes.FailedPrecondition {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := s.Attest(t.Context(), 8); len(got) > 0 || err != nil {
		t.Errorf("a container of Docker: got %q, %s", got, says(err))
	}
}
