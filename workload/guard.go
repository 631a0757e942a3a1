package workload

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// guarded is what starts goroutines where a configuration names nothing else: a panic in one is logged and goes no further.
func guarded(name string, fn func()) {
	go func() {
		defer func() {
			if r := recover(); r != nil {
				slog.Error("recovered a panic", "goroutine", name, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			}
		}()
		fn()
	}()
}
