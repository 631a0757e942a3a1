# Whether the images of an object may run: each is asked about at `assay serve api --opa-connector`, beside OPA in one pod. An image may
# run only where the answer is a clear yes, and runs by the digest that was vouched for. Whatever else comes back, or nothing, denies.
package assay.pods

url := object.get(opa.runtime().env, "ASSAY_URL", "http://localhost:8080/checkImage")

# Where the pod of each kind is.
places := {
	"Pod": ["spec"],
	"Deployment": ["spec", "template", "spec"],
	"ReplicaSet": ["spec", "template", "spec"],
	"StatefulSet": ["spec", "template", "spec"],
	"DaemonSet": ["spec", "template", "spec"],
	"Job": ["spec", "template", "spec"],
	"ReplicationController": ["spec", "template", "spec"],
	"CronJob": ["spec", "jobTemplate", "spec", "template", "spec"],
}

kind := input.request.kind.kind

place := places[kind]

default pod := {}

pod := found if {
	found := object.get(input.request.object, place, null)
	is_object(found)
}

# An update that leaves the pod as it was asks nobody, and changes nothing: finalizers can be removed whatever became of the image since, and
# while nobody can be asked. With anything else in the pod it is another one.
default unchanged := false

unchanged if {
	input.request.operation == "UPDATE"
	is_object(object.get(input.request.object, place, null))
	object.get(input.request.object, place, null) == object.get(input.request.oldObject, place, null)
}

# Every image, by its path in the object.
images[path] := image if {
	some list in ["containers", "initContainers", "ephemeralContainers"]
	some i, _ in object.get(pod, list, [])
	image := object.get(pod, [list, i, "image"], "")
	path := array.concat(place, [list, sprintf("%d", [i]), "image"])
}

images[path] := image if {
	some i, volume in object.get(pod, "volumes", [])
	volume.image
	image := object.get(volume.image, "reference", "")
	path := array.concat(place, ["volumes", sprintf("%d", [i]), "image", "reference"])
}

# One question for each image, however often it stands in the object.
answers[image] := answer if {
	some image in {i | some i in images}
	answer := http.send({
		"method": "POST",
		"url": url,
		"headers": {"Content-Type": "application/json", "X-Request-ID": input.request.uid},
		"body": {"image": image},
		"timeout": "8s",
		"raise_error": false,
	})
}

# A rule allows it without asking anybody: it keeps its name.
run[image] := image if {
	answers[image].status_code == 200
	answers[image].body == {}
}

# Somebody vouches for exactly this digest.
run[image] := name if {
	answers[image].status_code == 200
	name := answers[image].body.image
	endswith(name, concat("", ["@sha256:", answers[image].body.sha256]))
	regex.match(`^[0-9a-f]{64}$`, answers[image].body.sha256)
}

denials contains message if {
	some image in {i | some i in images}
	not run[image]
	message := sprintf("Container image %s invalid: %s", [image, reason(image)])
}

denials contains message if {
	not places[kind]
	message := sprintf("nobody knows where the images of a %s are", [kind])
}

# What is no pod as Kubernetes knows it may hold images where nobody looks.
denials contains "there is no pod with containers in this object" if {
	places[kind]
	count(object.get(pod, "containers", [])) == 0
}

denials contains message if {
	some list in ["containers", "initContainers", "ephemeralContainers", "volumes"]
	not is_array(object.get(pod, list, []))
	message := sprintf("%s is no list", [list])
}

reason(image) := answers[image].body.error

reason(image) := "could not tell, try again: no answer that can be read" if not answers[image].body.error

default allowed := false

allowed if unchanged

allowed if {
	not unchanged
	count(denials) == 0
	every image in images {
		run[image]
	}
}

patches := [{"op": "replace", "path": pointer(path), "value": run[image]} |
	not unchanged
	some path, image in images
	run[image] != image
]

pointer(path) := concat("/", array.concat([""], path))
