package main

import (
	"fmt"
	"time"
)

// target is what a benchmark should cost: at most ratio times another one, or an absolute figure where there is nothing to compare to.
type target struct {
	name   string
	floor  string        // another benchmark; empty: none
	ratio  float64       // at most this often the floor
	most   time.Duration // at most this long; 0: any time
	allocs int64         // at most so many allocations; 0: any number
}

// targets is the list of promises about speed.
var targets = []target{
	{name: "DecideWarm/digest", most: 5 * time.Microsecond, allocs: 10},
	{name: "DecideWarm/tag", most: 5 * time.Microsecond, allocs: 10},
	{name: "CheckCertificate", floor: "ChainFloor", ratio: 1.3},
	{name: "CheckKey/bundle", floor: "FloorCheckKey/bundle", ratio: 1.2},
	{name: "CheckKey/signature", floor: "FloorCheckKey/signature", ratio: 1.2},
	{name: "CheckKeyless/Rekor_v1", floor: "FloorCheckKeyless/Rekor_v1", ratio: 1.7},
	{name: "CheckKeyless/Rekor_v2", floor: "FloorCheckKeyless/Rekor_v2", ratio: 1.7},
	{name: "CheckKeyless/signature", floor: "FloorCheckKeyless/signature", ratio: 1.7},
	{name: "CheckNotaryV1/cold", floor: "FloorCheckNotaryV1", ratio: 1.6},
	{name: "LeafVerify", floor: "FloorLeafVerify", ratio: 1.3},
	{name: "ValidateWarm", floor: "FloorValidateWarm", ratio: 1.5},
	{name: "ValidateWarm", floor: "AlwaysAllow", ratio: 0.8},
	{name: "PolicyMatch/a_host_each/1000", floor: "PolicyMatch/a_host_each/10", ratio: 2},
	{name: "PolicyMatch/a_host_each/10000", floor: "PolicyMatch/a_host_each/10", ratio: 2},
	{name: "PolicyMatch/one_host,_a_team_each/10000", floor: "PolicyMatch/one_host,_a_team_each/10", ratio: 2},
	{name: "PolicyMatch/one_folder,_a_team_each/10000", floor: "PolicyMatch/one_folder,_a_team_each/10", ratio: 2},
	{name: "PolicyMatch/one_host,_a_repository_each/10000", floor: "PolicyMatch/one_host,_a_repository_each/10", ratio: 2},
	{name: "PolicyMatch/a_host_wildcard_each/10000", floor: "PolicyMatch/a_host_wildcard_each/10", ratio: 2},
}

// describe says in one line what was measured and whether it is within the target.
func (t target) describe(costs map[string]cost) string {
	got, ok := costs[t.name]
	if !ok {
		return t.name + ": was not measured"
	}
	if t.floor == "" {
		within := (t.most == 0 || got.nanos <= float64(t.most.Nanoseconds())) && (t.allocs == 0 || got.allocs <= t.allocs)
		return fmt.Sprintf("%s: %.0f ns, %d allocs; target %s, %d allocs: %s", t.name, got.nanos, got.allocs, t.most, t.allocs, word(within))
	}
	floor, ok := costs[t.floor]
	if !ok || floor.nanos == 0 {
		return t.name + ": its floor " + t.floor + " was not measured"
	}
	ratio := got.nanos / floor.nanos
	return fmt.Sprintf("%s: %.2f × %s (%.0f ns to %.0f ns); target %.1f: %s", t.name, ratio, t.floor, got.nanos, floor.nanos, t.ratio, word(ratio <= t.ratio))
}

func word(within bool) string {
	if within {
		return "within"
	}
	return "MISSED"
}
