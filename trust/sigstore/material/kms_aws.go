//go:build kms_aws

package material

// The key management service of Amazon Web Services.
import _ "github.com/sigstore/sigstore/pkg/signature/kms/aws"
