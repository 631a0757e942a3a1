module github.com/assay-dev/assay

go 1.26.0

require (
	github.com/distribution/reference v0.6.0
	golang.org/x/net v0.62.0
)

require (
	github.com/opencontainers/go-digest v1.0.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
