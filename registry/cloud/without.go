//go:build !cloudkeychains

package cloud

import (
	"fmt"

	"github.com/assay-dev/assay/registry"
)

// Open returns keychains by their names. Here it is an error that says how to build a program that has them.
func Open(names ...string) ([]registry.Keychain, error) {
	if len(names) == 0 {
		return nil, nil
	}
	return nil, fmt.Errorf("keychain %s: this program was built without keychains of clouds; build it with: make build TAGS=cloudkeychains", names[0])
}
