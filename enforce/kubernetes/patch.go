package kubernetes

import "encoding/json"

// sighupAnnotation is what container-signature-enforcer writes into each object that it changed.
const sighupAnnotation = "opa-notary-connector.sighup.io/processed"

// operations of a JSON patch (RFC 6902).
type patchStep struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch returns a JSON patch that puts pins in the place of images, or nil if there is nothing to do. An image that an update leaves as it
// was stays: the API server refuses changes of most fields of a pod that exists. Each image is tested before it is replaced, so that a patch
// can never meet another object than the one that was decided about.
func patch(r *review, pin func(Image) string, sighup bool) []byte {
	var steps []patchStep
	for n, i := range r.object.images {
		to := pin(i)
		if to == "" || to == i.Text || r.operation == update && r.kept(n) {
			continue
		}
		steps = append(steps, patchStep{"test", i.Path, i.Text}, patchStep{"replace", i.Path, to})
	}
	if sighup && r.operation == create {
		steps = append(steps, annotate(r.object.raw)...)
	}
	if len(steps) == 0 {
		return nil
	}
	content, err := json.Marshal(steps)
	if err != nil {
		panic(err) // strings and maps of them can be written
	}
	return content
}

// annotate adds the annotation of container-signature-enforcer beside those that the object has. That it is there already is never a reason
// to do less.
func annotate(object []byte) []patchStep {
	const metadata, annotations = "/metadata", "/metadata/annotations"
	key, value := sighupAnnotation, "true"
	hasMetadata, hasAnnotations, err := annotated(object)
	switch {
	case err != nil:
		return nil
	case !hasMetadata:
		return []patchStep{{"add", metadata, map[string]any{"annotations": map[string]string{key: value}}}}
	case !hasAnnotations:
		return []patchStep{{"add", annotations, map[string]string{key: value}}}
	}
	return []patchStep{{"add", annotations + "/" + escape(key), value}}
}

func annotated(object []byte) (hasMetadata, hasAnnotations bool, err error) {
	s := &scanner{data: object}
	err = s.object(func(name []byte) error {
		if string(name) != "metadata" || s.next() != '{' {
			return s.skip()
		}
		hasMetadata = true
		return s.object(func(name []byte) error {
			if string(name) == "annotations" {
				hasAnnotations = s.next() == '{'
			}
			return s.skip()
		})
	})
	return hasMetadata, hasAnnotations, err
}
