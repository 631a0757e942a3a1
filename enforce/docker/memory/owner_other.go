//go:build !unix

package memory

import "io/fs"

func owned(fs.FileInfo) error { return nil }
