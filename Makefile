# Everything a contributor runs. `make help` lists it; .ci/run runs `make test` and `make demo`.

GO         ?= go
FUZZTIME   ?= 60s
BENCH      ?= .
BENCHTIME  ?= 1s
BENCHFLAGS ?=
SOAK       ?= 1h
TESTFLAGS  ?=
PKGS       ?= ./...
# Each test package may take this long before it is stopped with its goroutines printed.
TESTTIMEOUT ?= 10m

# One static binary is the product: nothing here needs a C compiler, but for the race detector.
export CGO_ENABLED = 0

LINT_DIR := tools/golangci-lint
LINT     := bin/golangci-lint
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.DEFAULT_GOAL := help
.PHONY: help build deb demo test test-deps fmt fmt-check vet lint generate generate-check cross unit race test-ejabberd web web-check docs soak bench bench-relay fuzz clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build jingled, jingle and jingle-relay into ./bin
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./cmd/...

deb: ## the Debian packages of jingled and of jingle-relay, into ./dist; ARCH=arm64 for another machine
	./scripts/deb.sh

demo: ## run the main job: two accounts, a call with DTMF, a file, all on loopback
	$(GO) run ./cmd/jingle demo

test: test-deps fmt-check generate-check web-check vet lint cross race ## everything that must hold before a commit lands

test-deps: ## install what the tests need, or say what is missing
	./scripts/test-deps.sh

fmt: ## format all Go files
	gofmt -w $$(./scripts/gofiles.sh)

fmt-check:
	@bad=$$(gofmt -l $$(./scripts/gofiles.sh)); \
	if [ -n "$$bad" ]; then echo "not formatted, run make fmt:"; echo "$$bad"; exit 1; fi

vet: ## go vet
	$(GO) vet ./...

# The linter has a module of its own, so that its dependencies never choose versions for the product.
$(LINT): $(LINT_DIR)/go.mod $(LINT_DIR)/go.sum
	$(GO) build -modfile=$(LINT_DIR)/go.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

lint: $(LINT) ## golangci-lint; PKGS=./jid/... for one package
	$(LINT) run $(PKGS)

# The generator, too, has a module of its own. Building it takes more than a minute, once.
GENERATORS := bin/buf bin/protoc-gen-go bin/protoc-gen-connect-go
$(GENERATORS) &: tools/buf/go.mod tools/buf/go.sum
	$(GO) build -modfile=tools/buf/go.mod -o bin/ github.com/bufbuild/buf/cmd/buf google.golang.org/protobuf/cmd/protoc-gen-go \
		connectrpc.com/connect/cmd/protoc-gen-connect-go

generate: $(GENERATORS) ## write the Go code of the API's schema
	./scripts/generate.sh

generate-check: $(GENERATORS)
	./scripts/generate.sh --check

# The bundler of the web phone, again in a module of its own.
bin/esbuild: tools/esbuild/go.mod tools/esbuild/go.sum
	$(GO) build -modfile=tools/esbuild/go.mod -o $@ github.com/evanw/esbuild/cmd/esbuild

web: bin/esbuild ## bundle the web phone from web/src into web/dist
	./scripts/web.sh

web-check: bin/esbuild
	./scripts/web.sh --check

cross: ## build everything for Linux, macOS and Windows, without cgo
	GOOS=linux   $(GO) build ./...
	GOOS=darwin  GOARCH=arm64 $(GO) build ./...
	GOOS=windows GOARCH=amd64 $(GO) build ./...

unit: bin/testsum ## the tests without the race detector; PKGS=./jid/... for one package
	$(GO) test -json -p 2 -timeout $(TESTTIMEOUT) $(TESTFLAGS) $(PKGS) | ./bin/testsum

# A program with the race detector sleeps for a second at its end, unless it is told otherwise.
race: bin/testsum ## the tests with the race detector
	export CGO_ENABLED=1 GORACE=atexit_sleep_ms=10; $(GO) test -json -race -p 3 -timeout $(TESTTIMEOUT) $(TESTFLAGS) $(PKGS) | \
		./bin/testsum $(GO) test -json -race -p 1 -timeout $(TESTTIMEOUT) $(TESTFLAGS)

test-ejabberd: ## all tests that need a server, with ejabberd alone where they take Prosody and ejabberd, or Prosody, else
	JINGLED_SERVER=ejabberd $(MAKE) unit PKGS="$$(./scripts/servertests.sh)"

# It shows what failed and what was skipped and why, and lets CI skip nothing that could have been installed.
bin/testsum: internal/testsum/main.go
	$(GO) build -o $@ ./internal/testsum

docs: ## write the generated parts of the documentation
	$(GO) generate ./internal/... ./cmd/...

soak: ## the long forms of tests: an hour of faults, 10,000 sessions, 50 kills in the middle of transfers, ten thousand files, 4 GiB
	$(GO) test -v -timeout 80m -run TestSoak ./internal/faults -soak $(SOAK)
	JINGLED_SESSIONS=10000 $(GO) test -v -timeout 30m -run TestManySessions ./internal/faults
	JINGLED_TEST_KILLS=50 $(GO) test -v -timeout 30m -run TestKill9 ./cmd/jingled
	JINGLED_TEST_SOAK=1 $(GO) test -v -timeout 30m -run 'TestManySmallFiles|TestEveryRoadManyFiles|TestMemory' ./filetransfer/transfers ./daemon

bench: ## all benchmarks; BENCH=Decode for some, PKGS=./jingle/... for one package
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem -p 1 $(PKGS)

bench-relay: ## coturn, pion/turn, bare forwarders and our relay in one run, under two minutes; BENCHFLAGS=-long for more
	$(GO) build -o bin/bench-relay ./relay/bench
	bin/bench-relay $(BENCHFLAGS)

fuzz: ## every fuzz target for FUZZTIME (60s) each
	FUZZTIME=$(FUZZTIME) ./scripts/fuzz.sh $(PKGS)

clean: ## remove what was built
	rm -rf bin dist
