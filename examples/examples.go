// Package examples holds the example policies, and hands the demo the one that it decides by.
package examples

import _ "embed" // for the policy of the demo

// DemoPolicy is demo-policy.yaml.
//
//go:embed demo-policy.yaml
var DemoPolicy []byte
