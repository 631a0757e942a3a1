package main

import (
	"fmt"
	"strings"
)

// review is one of a pod as they are in clusters: most of it is environment, probes and managed fields.
func (s *stage) review() string { return reviewOf(s.images) }

func reviewOf(images []string) string {
	var all []string
	for i, name := range images {
		var env []string
		for j := range 11 {
			env = append(env, fmt.Sprintf(`{"name":"SETTING_%02d","valueFrom":{"configMapKeyRef":{"name":"settings","key":"setting-%02d"}}}`, j, j))
		}
		all = append(all, fmt.Sprintf(`{"name":"c%d","image":%q,"ports":[{"containerPort":8080,"protocol":"TCP"}],"env":[%s],`+
			`"resources":{"limits":{"cpu":"500m","memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},`+
			`"livenessProbe":{"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},"timeoutSeconds":1,"periodSeconds":10},`+
			`"imagePullPolicy":"IfNotPresent","terminationMessagePath":"/dev/termination-log","securityContext":{"runAsNonRoot":true}}`,
			i, name, strings.Join(env, ",")))
	}
	return `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"705ab4f5-6393-11e8-b7cc-42010a800002","kind":{"group":"","version":"v1","kind":"Pod"},` +
		`"resource":{"group":"","version":"v1","resource":"pods"},"name":"x","namespace":"shop","operation":"CREATE",` +
		`"userInfo":{"username":"system:serviceaccount:kube-system:replicaset-controller","uid":"1","groups":["system:serviceaccounts","system:authenticated"]},` +
		`"object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x","namespace":"shop","uid":"7","creationTimestamp":null,"labels":{"app":"shop"},` +
		`"managedFields":[{"manager":"kubectl","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"f:spec":{"f:containers":{` +
		`"k:{\"name\":\"c0\"}":{".":{},"f:env":{},"f:image":{},"f:name":{},"f:resources":{}}}}}}]},` +
		`"spec":{"containers":[` + strings.Join(all, ",") + `],"restartPolicy":"Always","serviceAccountName":"shop"},"status":{}},` +
		`"oldObject":null,"dryRun":false,"options":{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}}}`
}
