//go:build kms_gcp

package material

// The key management service of Google Cloud.
import _ "github.com/sigstore/sigstore/pkg/signature/kms/gcp"
