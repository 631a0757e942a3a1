package workload

import (
	"fmt"
	"regexp"
	"strings"
)

// The two forms of paths that older versions knew. UID and marks between its groups stand as they like; an ID ends the path.
const legacyUID = `[[:xdigit:]]{8}(?:[[:punct:]]?[[:xdigit:]]{4}){3}[[:punct:]]?[[:xdigit:]]{12}`

var (
	legacyPod     = regexp.MustCompile(`[[:punct:]]pod(` + legacyUID + `)[[:punct:]](?:[[:^punct:]]+[[:punct:]])*([[:xdigit:]]{64})$`)
	legacyCRIO    = regexp.MustCompile(`crio[[:punct:]]([[:xdigit:]]{64})$`)
	legacyPodHere = regexp.MustCompile(`[[:punct:]]pod` + legacyUID + `[[:punct:]](?:[[:^punct:]]|/)*$`)
	legacyMark    = regexp.MustCompile(`[[:punct:]]`)
)

// legacyPods applies the rules of older versions.
func legacyPods(cgroups []Cgroup) (Place, error) {
	var place Place
	for _, c := range cgroups {
		container, pod := legacyIDs(c.Path)
		switch {
		case container == "":
		case place.ContainerID == "":
			place.ContainerID, place.PodUID = container, pod
		case container != place.ContainerID:
			return Place{}, conflicting(fmt.Sprintf("multiple container IDs found in cgroups (%s, %s)", place.ContainerID, container))
		case pod != place.PodUID:
			return Place{}, conflicting(fmt.Sprintf("multiple pod UIDs found in cgroups (%s, %s)", place.PodUID, pod))
		}
	}
	return place, nil
}

// legacyIDs returns what a path shows. One that fits both forms shows nothing.
func legacyIDs(path string) (container, pod string) {
	path = strings.TrimSuffix(path, ".scope")
	if m := legacyPod.FindStringSubmatch(path); m != nil {
		container, pod = m[2], legacyMark.ReplaceAllString(m[1], "-")
	}
	at := legacyCRIO.FindStringSubmatchIndex(path)
	if at == nil || legacyPodHere.MatchString(path[:at[0]]) {
		return container, pod
	}
	if container != "" {
		return "", ""
	}
	return path[at[2]:at[3]], ""
}
