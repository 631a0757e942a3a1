# Assay: what a developer types. `make` alone lists it.

SHELL      := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export GOTOOLCHAIN ?= local

VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null)
# The race detector needs a C compiler; go says itself whether it found one.
RACE     ?= $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
FUZZTIME ?= 20s
# A file:// URL of a Go vulnerability database; empty: the one that govulncheck knows.
VULNDB   ?=
RUN      ?=
# Build tags: cloudkeychains for the logins of clouds, kms_aws, kms_gcp, kms_azure for their keys.
TAGS     ?=
IMAGE    ?= assay:$(or $(VERSION),local)

.PHONY: help demo build image docker-plugin proto test e2e local-start local-push local-deploy local-stop lint bench bench-peers bench-webhook bench-docker bench-node bench-spire fuzz mutants parity

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: build ## eight images and what is decided about them, and why, in two minutes
	@bin/assay demo

build: ## bin/assay and bin/assay-containerd-verifier, static binaries
	@CGO_ENABLED=0 go build $(if $(TAGS),-tags '$(TAGS)') -trimpath -ldflags '-s -w $(if $(VERSION),-X main.version=$(VERSION))' -o bin/ ./cmd/assay ./cmd/assay-containerd-verifier

image: build ## the image of Assay, with the docker that is there (IMAGE=name:tag, BASE=image, CA_BUNDLE=file)
	@deploy/image/build '$(IMAGE)'

docker-plugin: build ## Assay as a plugin of the Docker engine that docker reaches (PLUGIN_NAME, PLUGIN_TAG; see deploy/docker-plugin)
	@$(MAKE) --no-print-directory -C deploy/docker-plugin rootfs create

proto: ## the Go code of the .proto files; needs protoc (Debian's protobuf-compiler)
	@enforce/spire/proto/generate

test: ## the tests of all packages, with the race detector where there is a C compiler
	$(if $(RACE),,@echo 'make test: no C compiler, so data races are NOT looked for' >&2)
	go test $(RACE) ./...
	$(if $(RACE),go test -run '^TestT27_AFleetVerifiesADigestOnce$$' ./cmd/assay) # 200 hosts, which are too many for the race detector
	go test -tags cloudkeychains ./registry/cloud

e2e: build ## the stories, with real peers; installs Debian packages and builds peers where they are missing
	@e2e/peers/install
	ASSAY_E2E=$${ASSAY_E2E:-required} go test -tags e2e ./e2e/... -count 1 -v -timeout 40m -run '$(or $(RUN),.)'

local-start: ## a cluster of one node, a registry and a Notary server on this machine; needs root
	@e2e/peers/install
	@e2e/local start

local-push: build ## the image of Assay and two sample images, one of them signed, for the cluster of local-start
	@e2e/local push

local-deploy: ## the chart on that cluster, with a policy for the sample images
	@e2e/local deploy

local-stop: ## the cluster of local-start is gone, and all that it left
	@e2e/local stop

lint: ## gofmt, go vet, builds for other systems, staticcheck, known vulnerabilities (VULNDB=file:///path for a local database)
	@VULNDB='$(VULNDB)' .ci/lint

bench: ## benchmarks, and their ratios to what the same work costs at least
	go test -run '^$$' -bench '$(or $(RUN),.)' -benchmem ./... | go run ./tools/benchratio

bench-peers: build ## assay verify against cosign verify (cold) and notary lookup (warm), as whole processes: medians and ratios
	@e2e/peers/install
	@ASSAY_BENCH=1 go test -tags e2e ./e2e -count 1 -v -timeout 20m -run TestBenchPeers

bench-webhook: build ## the webhook over TLS, beside one that allows everything and the least that looks at images: ratios in one run
	@go run ./tools/benchwebhook

bench-docker: build ## what the authorization plugin adds to requests to a Docker engine, beside one that always allows; needs root and dockerd
	@e2e/peers/install packages
	@go run ./tools/benchdocker

bench-node: build ## what a fleet of nodes takes: memory and processor time of assay serve node, alone and with an upstream
	@go run ./tools/benchnode

bench-spire: build ## attestations of a plugin of SPIRE over its own socket, cold and warm, beside a Docker engine and a kubelet that only lists; needs root and dockerd
	@e2e/peers/install packages
	@CGO_ENABLED=0 go run ./tools/benchspire

parity: ## docs/design/parity.md, the table of one policy's verdicts at all points; its test compares it
	go test ./cmd/assay -run '^TestParity$$' -count 1 -args -update-parity

fuzz: ## every fuzz target for FUZZTIME (20s) each
	@FUZZTIME='$(FUZZTIME)' .ci/fuzz '$(RUN)'

mutants: ## switch off each defence that a test names, one at a time; a test must notice (RUN=regexp picks some)
	go run ./tools/mutants -run '$(RUN)'
