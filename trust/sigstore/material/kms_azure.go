//go:build kms_azure

package material

// The key management service of Microsoft Azure.
import _ "github.com/sigstore/sigstore/pkg/signature/kms/azure"
