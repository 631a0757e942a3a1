package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/assay-dev/assay/enforce/spire"
	"github.com/assay-dev/assay/registry/registrytest"
)

// old makes a block one with old keys.
func old(s *spire.SigstoreSettings) { s.Old = true }

// Old keys give exactly the old selectors, new keys exactly the new ones.
func TestK8S11_SelectorsOfBothGenerations(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	layer := w.layerUnder(ref, "sig")
	entry := layer.rekor(t)
	pod := podOf(ref.String())
	value := layer.Annotations["dev.cosignproject.cosign/signature"]

	want := []string{
		pod.ContainerID + ":image-signature-subject:dev@lab.example",
		pod.ContainerID + ":image-signature-content:" + value,
		pod.ContainerID + ":image-signature-logid:" + entry.Payload.LogID,
		pod.ContainerID + ":image-signature-integrated-time:" + number(entry.Payload.IntegratedTime),
		"sigstore-validation:passed",
	}
	if got := w.passes(w.demand("k8s", dev(old)), pod); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	bare := pod
	bare.ContainerID = "" // container selectors are disabled
	if got := w.passes(w.demand("k8s", dev(old)), bare); !cmp.Equal(got, want[4:]) {
		t.Error(cmp.Diff(want[4:], got))
	}
	want = []string{
		"image-signature:verified",
		"image-signature-subject:dev@lab.example",
		"image-signature-issuer:https://accounts.lab.example",
		"image-signature-value:" + value,
		"image-signature-log-id:" + entry.Payload.LogID,
		"image-signature-log-index:" + number(entry.Payload.LogIndex),
		"image-signature-integrated-time:" + number(entry.Payload.IntegratedTime),
		"image-signature-signed-entry-timestamp:" + entry.SignedEntryTimestamp,
	}
	if got := w.passes(w.demand("k8s", dev()), pod); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}

// Old identities are compared exactly, and are no patterns.
func TestK8S11_OldIdentitiesAreExact(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	pod := podOf(ref.String())
	for _, subject := range []string{".*@lab.example", "*@lab.example", "dev@lab.exampl"} {
		v := w.demand("k8s", dev(old, func(s *spire.SigstoreSettings) {
			s.Identities = map[string][]string{"https://accounts.lab.example": {subject}}
		}))
		w.fails(v, pod, codes.Internal, "error retrieving signature payload: failed to verify signatures: ")
	}
	w.fails(w.demand("k8s", dev()), podOf(w.image("unsigned").String()), codes.Internal, "error verifying sigstore image signature for imageID "+w.server.Host()+"/team/app@sha256:")
}

// With old keys and nobody allowed nothing passes but what is skipped.
func TestK8S12_NobodyAllowed(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	w.server.ResetRequests()
	nobody := func(s *spire.SigstoreSettings) { s.Old, s.Identities = true, nil }
	w.fails(w.demand("k8s", dev(nobody)), podOf(ref.String()), codes.Internal, "error retrieving signature payload: ", "allowed_subjects_list")
	for _, entry := range []string{ref.String(), ref.Digest().String(), "docker-pullable://" + ref.String()} {
		v := w.demand("k8s", dev(nobody, func(s *spire.SigstoreSettings) { s.SkippedImages = []string{entry} }))
		if got, want := w.passes(v, podOf("docker-pullable://"+ref.String())), []string{"sigstore-validation:passed"}; !cmp.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", entry, got, want)
		}
	}
	skipped := func(s *spire.SigstoreSettings) { s.SkippedImages = []string{ref.Digest().String()} }
	if got := w.passes(w.demand("k8s", dev(skipped)), podOf(ref.String())); len(got) > 0 {
		t.Errorf("new keys: selectors %q", got)
	}
	if got := w.server.Requests(); len(got) > 0 {
		t.Errorf("requests %v", got)
	}
}

// Every form of an image ID is what it is; what names an image of the node's own asks nobody.
func TestK8S14_FormsOfImageIDs(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	for _, v := range []spire.Verifier{w.demand("k8s", dev()), w.demand("k8s", dev(old))} {
		w.passes(v, podOf(ref.String()))
		w.passes(v, podOf("docker-pullable://"+ref.String()))
		w.server.ResetRequests()
		for _, local := range []string{ref.Digest().String(), "docker://" + ref.Digest().String(), "docker-pullable://" + ref.Digest().String(), ref.Digest().Hex(), strings.ToUpper(ref.Digest().Hex()), ""} {
			w.fails(v, podOf(local), codes.Internal, "error")
		}
		w.fails(v, podOf(ref.Digest().String()), codes.Internal, "names a configuration on the node")
		if got := w.server.Requests(); len(got) > 0 {
			t.Errorf("requests %v", got)
		}
	}
	tagged := podOf(w.server.Host() + "/" + ref.Repository() + ":1")
	w.server.ResetRequests()
	w.fails(w.demand("k8s", dev(old)), tagged, codes.Internal, "error retrieving signature payload: ", "has no digest")
	if got := w.server.Requests(); len(got) > 0 {
		t.Errorf("old keys look a tag up: %v", got)
	}
	if got := w.passes(w.demand("k8s", dev()), tagged); len(got) == 0 {
		t.Error("new keys resolve a tag, and prove the digest")
	}
}

// Evidence of another digest proves nothing, and a failure leaves no selector.
func TestK8S15_EvidenceOfAnotherDigest(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	ref := w.replay("legacy-keyless")
	other := w.server.PushImage(ref.Repository(), "other", "linux/amd64", "other")
	w.retag(ref.Repository(), strings.Replace(ref.Digest().String(), ":", "-", 1)+".sig", strings.Replace(other.String(), ":", "-", 1)+".sig")
	for _, v := range []spire.Verifier{w.demand("k8s", dev()), w.demand("k8s", dev(old))} {
		w.fails(v, podOf(w.server.Host()+"/"+ref.Repository()+"@"+other.String()), codes.Internal, "is about another image")
		w.passes(v, podOf(ref.String()))
	}
}

// With a policy, images of every format pass by their proofs, and namespaces count.
func TestK8S20_PolicyOfNamespaces(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	file, right, _ := w.certified(`
  scope: {points: [spire], namespaces: {names: [shop], selector: {matchLabels: {tier: front}}}}
  rules: [{images: ["**"], require: right}]`)
	v := w.demand("k8s", spire.Verification{Policy: file})
	pod := podOf(right.String())
	pod.NamespaceLabels = map[string]string{"tier": "front"}
	if got := valuesOf(w.passes(v, pod), "image-authority"); !cmp.Equal(got, []string{"right"}) {
		t.Errorf("authorities %q", got)
	}
	for _, labels := range []map[string]string{{}, {"tier": "back"}} {
		pod.NamespaceLabels = labels
		w.fails(v, pod, codes.PermissionDenied, "policy verification failed for image "+right.String()+": errors: image_id "+right.String()+": ")
	}
	pod.NamespaceLabels = nil // nobody knows them
	w.fails(v, pod, codes.Unavailable, "could not tell, try again")
	pod.NamespaceLabels, pod.Namespace = map[string]string{"tier": "front"}, "other"
	w.fails(v, pod, codes.PermissionDenied)
	w.fails(v, spire.Subject{Image: right.String(), ContainerID: pod.ContainerID}, codes.PermissionDenied)
	w.fails(v, podOf(right.Digest().String()), codes.PermissionDenied, "names a configuration on the node")
}

// A key that is revoked, or a policy that is changed, counts at the next call; warn and audit never give selectors.
func TestT52_SelectorsEndWithTrust(t *testing.T) {
	w := newSpireWorld(t, registrytest.Options{})
	rules := "\n  rules: [{images: [\"**\"], require: right}]"
	file, right, key := w.certified(rules)
	v := w.demand("k8s", spire.Verification{Policy: file})
	pod := podOf(right.String())
	w.passes(v, pod)
	w.server.ResetRequests()
	w.passes(v, pod)
	if got := w.server.Requests(); len(got) > 0 {
		t.Errorf("requests %v: it was decided already", got)
	}

	w.rewrite(file, rules+"\n  revoked: [{key: \""+key+"\", reason: stolen}]")
	w.until("the revocation is in force", func() bool {
		selectors, err := v.Verify(t.Context(), pod)
		return err != nil && len(selectors) == 0
	})
	w.fails(v, pod, codes.PermissionDenied, "stolen")

	for _, mode := range []string{"warn", "audit"} {
		for _, more := range []string{"", "\n  revoked: [{key: \"" + key + "\"}]"} {
			w.rewrite(file, "\n  mode: "+mode+rules+more)
			w.until(mode+" is in force", func() bool {
				selectors, err := v.Verify(t.Context(), pod)
				if len(selectors) > 0 {
					t.Fatalf("%s gives %q", mode, selectors)
				}
				return err == nil && strings.Count(w.log.String(), `"mode":"`+mode+`","hash"`) > 0
			})
		}
	}
	if got := w.passes(v, podOf("sha256:"+strings.Repeat("a", 64))); len(got) > 0 { // nothing is stopped
		t.Errorf("selectors %q", got)
	}

	// What was broken by hand leaves what is in force.
	w.rewrite(file, "\n  mode: nonsense"+rules)
	w.until("it is told", func() bool { return strings.Contains(w.log.String(), "cannot be used; what was in force before stays") })
	w.passes(v, pod)
	if text := w.refuse("k8s", spire.Verification{Policy: file}); !strings.Contains(text, "nonsense") {
		t.Errorf("a new configuration reads the policy: %s", text)
	}
	w.rewrite(file, rules)
	w.until("it is mended", func() bool {
		selectors, _ := v.Verify(t.Context(), pod)
		return len(selectors) > 0
	})

	// And what is kept ends by itself.
	w.at(time.Now().Add(48 * time.Hour))
	w.fails(v, pod, codes.PermissionDenied)
}
