package kubernetes

import (
	"net/http"
	"strings"
	"testing"
)

// What somebody may try to have an image pass that nobody vouches for. Each comes at both paths, and none is allowed.
func TestT32_WaysRound(t *testing.T) {
	template := func(image string) string {
		return `{"spec":{"template":{"spec":{"containers":[{"name":"a","image":"` + image + `"}]}}}}`
	}
	meta := `{"metadata":{%},"spec":{"containers":[{"name":"c0","image":"` + bad + `"}]}}`
	with := func(in string) string { return strings.Replace(meta, "%", in, 1) }
	rows := map[string]change{
		"an escaped name of a member":             {object: `{"spec":{"containers":[{"name":"a","\u0069mage":"` + bad + `"}]}}`},
		"escaped names all the way":               {object: `{"\u0073pec":{"c\u006fntainers":[{"im\u0061ge":"` + bad + `"}]}}`},
		"an escaped text":                         {object: `{"spec":{"containers":[{"image":"r.ex\u0061mple\/bad:1"}]}}`},
		"the same member, escaped":                {object: `{"spec":{"containers":[{"image":"` + good + `","im\u0061ge":"` + bad + `"}]}}`},
		"two specs":                               {object: `{"spec":{"containers":[{"image":"` + good + `"}]},"spec":{"containers":[{"image":"` + bad + `"}]}}`},
		"a huge number before it":                 {object: `{"metadata":{"generation":1` + strings.Repeat("0", 5000) + `e+999999999},"spec":{"containers":[{"image":"` + bad + `"}]}}`},
		"half a surrogate before it":              {object: with(`"name":"\ud800"`)},
		"a name that the API server makes":        {object: with(`"generateName":"app-"`)},
		"a deletion time stamp":                   {object: with(`"deletionTimestamp":"2026-01-01T00:00:00Z"`)},
		"a mirror pod":                            {object: with(`"annotations":{"kubernetes.io/config.mirror":"x"}`)},
		"white space around it":                   {object: pod(" " + bad), operation: "CREATE"},
		"an empty name":                           {object: pod("")},
		"a tab":                                   {object: pod("r.example/ok:1\t")},
		"an image in place":                       {operation: "UPDATE", object: pod(bad), old: pod(good)},
		"an image in place at a subresource":      {operation: "UPDATE", subresource: "resize", object: pod(bad), old: pod(good)},
		"a container more":                        {operation: "UPDATE", subresource: "ephemeralcontainers", object: strings.Replace(pod(good), `"containers"`, `"ephemeralContainers":[{"image":"`+bad+`"}],"containers"`, 1), old: pod(good)},
		"an update without what was before":       {operation: "UPDATE", object: pod(bad)},
		"an update of null":                       {operation: "UPDATE", object: pod(bad), old: "null"},
		"what is made, with something before":     {operation: "CREATE", object: pod(bad), old: pod(bad)},
		"an operation that nobody knows":          {operation: "PATCH", object: pod(bad), old: pod(bad)},
		"an operation in lower case":              {operation: "delete", object: pod(bad)},
		"a kind in another group":                 {group: "extensions", kind: "Deployment", object: template(bad)},
		"a pod in another group":                  {group: "example.org", kind: "Pod", object: pod(bad)},
		"a pod template in another group":         {group: "apps", kind: "PodTemplate", object: `{"template":{"spec":{"containers":[{"image":"` + bad + `"}]}}}`},
		"a list":                                  {kind: "PodList", object: `{"items":[` + pod(bad) + `]}`},
		"a list of anything":                      {kind: "List", object: `{"items":[` + pod(bad) + `]}`},
		"a kind in another case":                  {kind: "pod", object: pod(bad)},
		"a set of jobs of whose kind nobody told": {group: "jobset.x-k8s.io", kind: "JobSet", object: `{"spec":{"replicatedJobs":[{"template":` + template(bad) + `}]}}`},
		"an image volume":                         {object: `{"spec":{"containers":[{"image":"` + good + `"}],"volumes":[{"name":"v","image":{"reference":"` + bad + `"}}]}}`},
		"an image volume in a cron job":           {group: "batch", kind: "CronJob", object: `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"volumes":[{"image":{"reference":"` + bad + `"}}]}}}}}}`},
	}
	for name, c := range rows {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			for _, path := range []string{"/validate?timeout=5s", "/mutate"} {
				got := l.post(t, path, reviewOf(c))
				if got.Response.Allowed || got.Response.UID != "uid-1" {
					t.Errorf("%s: got %+v, want a denial", path, got)
				}
			}
		})
	}
}

// The members of a review may come in any order.
func TestT32_OrderOfTheReview(t *testing.T) {
	const request = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{%}}`
	object, old := `"object":`+pod(bad), `"oldObject":`+pod(good)
	rest := []string{`"uid":"uid-1"`, `"kind":{"group":"","kind":"Pod"}`, `"namespace":"shop"`, `"operation":"UPDATE"`}
	l := newLab(t, nil)
	for _, members := range [][]string{
		append([]string{object, old}, rest...), append([]string{old, object}, rest...), append(rest[:len(rest):len(rest)], old, object), {old, rest[0], rest[1], object, rest[2], rest[3]},
	} {
		got := l.post(t, "/validate", []byte(strings.Replace(request, "%", strings.Join(members, ","), 1)))
		if got.Response.Allowed || got.Response.Status.Code != http.StatusForbidden {
			t.Errorf("%.80s: got %+v, want a denial", strings.Join(members, ","), got.Response)
		}
	}
	for name, twice := range map[string]string{"two kinds": rest[1] + `,"kind":{"group":"policy","kind":"Eviction"}`, "two old objects": old + "," + `"oldObject":` + pod(bad)} {
		got := l.post(t, "/validate", []byte(strings.Replace(request, "%", strings.Join(append(rest[:1:1], rest[2], rest[3], object, twice), ","), 1)))
		if got.Response.Allowed {
			t.Errorf("%s: allowed", name)
		}
	}
}

// What has no image by its kind passes, and needs no namespace and no decision.
func TestT32_KindsWithoutImages(t *testing.T) {
	l := newLab(t, nil)
	for _, c := range []change{
		{kind: "Binding", subresource: "binding", object: `{"target":{"kind":"Node","name":"a"}}`},
		{group: "policy", kind: "Eviction", subresource: "eviction", object: `{}`},
		{group: "autoscaling", kind: "Scale", resource: "deployments", subresource: "scale", operation: "UPDATE", object: `{"spec":{"replicas":3}}`, old: `{"spec":{"replicas":1}}`},
		{kind: "PodExecOptions", subresource: "exec", operation: "CONNECT", object: `{"command":["sh"]}`},
		{operation: "DELETE", old: pod(bad)}, {operation: "DELETE"},
	} {
		if got := l.validate(t, c); !got.Response.Allowed {
			t.Errorf("%+v: got %+v", c, got.Response)
		}
	}
	if len(l.asked) > 0 {
		t.Error("somebody was asked")
	}
}
