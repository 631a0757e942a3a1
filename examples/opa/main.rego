# What OPA answers an API server: a webhook that asks POST / gets data.system.main.
package system

import data.assay.pods

main := {
	"apiVersion": "admission.k8s.io/v1",
	"kind": "AdmissionReview",
	"response": response,
}

# Allowed is only what is allowed by name: everything else, also what nobody thought of, is not.
response := object.union({"uid": input.request.uid, "allowed": true}, changes) if pods.allowed

response := {"uid": input.request.uid, "allowed": false, "status": {"code": 403, "message": message}} if {
	not pods.allowed
	message := concat("\n", sort(pods.denials))
}

# Without an image to rename there is no patch.
changes := {"patchType": "JSONPatch", "patch": base64.encode(json.marshal(pods.patches))} if count(pods.patches) > 0

changes := {} if count(pods.patches) == 0
