package spire_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/assay-dev/assay/enforce/spire"
)

// asPlugin tells the test's own program to be a plugin with the attestor probe.
const asPlugin = "SPIRE_TEST_PLUGIN=1"

func TestMain(m *testing.M) {
	if os.Getenv("SPIRE_TEST_PLUGIN") != "" {
		shared := spire.New(spire.NewLog(os.Stderr))
		if err := spire.Serve(context.Background(), spire.Config{Plugin: shared, Attestor: newProbe(shared)}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
