# What each target needs, and nothing more, is Go, a C compiler and make.

BIN     ?= bin
CC      ?= cc
LIBRARY := $(BIN)/libaws-for-fluent-bit.so
NAMES   ?= cloudwatch kinesis firehose
LOADERS := $(NAMES:%=$(BIN)/%.so)

# Tests of the C boundary build with GOTAGS=hosttest and one more of NAMES, probe.
GOTAGS  ?=

# -soname: the loaders ask for the library by this name. The version script
# hides everything that is not part of the boundary. -z text: no code is changed
# while the library is loaded, see flb_forget_pages.
EXTLD   := -Wl,-soname,libaws-for-fluent-bit.so -Wl,-z,text -Wl,--version-script=$(CURDIR)/loader/library.map
# To keep the library small: notfastpath leaves out the generated decoders of
# ugorji/go, which come with fluent-bit-go and are not used here, 0.9 MB; without
# inlining there, in what it brings along, in the SDK, which runs once a call, and in
# what reads credentials, certificates and options, it is another 0.6 MB less.
TAGS    := notfastpath
SMALL   := $(foreach package,github.com/aws/... github.com/ugorji/... net/rpc encoding/gob text/template/... html/... \
             encoding/xml encoding/asn1 math/big crypto/x509 encoding/json github.com/modern-go/... regexp/... net/url \
             mime/... log/... compress/flate github.com/tinylib/... github.com/lestrrat-go/... vendor/golang.org/x/net/..., \
             -gcflags '$(package)=-l')

SOURCES := $(shell find . -name '*.go' -not -name '*_test.go' -not -path './e2e/*' -not -path './demo/*' -not -path './conformance/*' -not -path './checkconfig/*' -not -path './bench/*') \
           $(wildcard internal/flb/*.c internal/flb/*.h) go.mod go.sum loader/library.map

CFLAGS_LOADER := -std=c11 -O2 -Wall -Wextra -Werror -fPIC -fvisibility=hidden
LDFLAGS_LOADER := -shared -Wl,-rpath,'$$ORIGIN' -Wl,-z,relro,-z,now -Wl,--no-undefined -Wl,--build-id=none -s

describe_cloudwatch := Amazon CloudWatch Logs
describe_kinesis    := Amazon Kinesis Data Streams
describe_firehose   := Amazon Data Firehose
describe_probe      := does what the tag of a chunk says

.PHONY: help build clean symbols test format vet race pure fuzz bench lint lint-tool check-config demo e2e soak conformance

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(LIBRARY) $(LOADERS) ## build the Go library and its three loaders into bin/

$(LIBRARY): $(SOURCES)
	@mkdir -p $(BIN)
	go build -buildmode=c-shared -trimpath $(SMALL) -tags '$(TAGS) $(GOTAGS) $(MORETAGS)' $(MOREFLAGS) -ldflags '-s -w -extldflags "$(EXTLD)"' -o $@ .
	@rm -f $(BIN)/libaws-for-fluent-bit.h

$(LOADERS): $(BIN)/%.so: loader/loader.c $(LIBRARY)
	$(CC) $(CFLAGS_LOADER) -DNAME='"$*"' -DDESCRIPTION='"$(describe_$*)"' $< $(LDFLAGS_LOADER) -L$(BIN) -laws-for-fluent-bit -o $@

# In bytes: what every node loads has to stay small.
LARGEST := 15000000

symbols: build ## check what the four files show and how large they are, and print the glibc they need
	@sh loader/symbols.sh $(BIN)
	@size=$$(wc -c < $(LIBRARY)); echo "ok $(LIBRARY): $$size bytes, at most $(LARGEST)"; [ $$size -le $(LARGEST) ]

clean: ## remove what was built
	rm -rf $(BIN)

# Testing. The output of go test goes through a counter, so that the last line
# says how many tests stood behind an ok.
COUNT     := go run ./internal/testcount
PURE       = $$(go list ./... | grep -v -E '/internal/(flb|host)|/demo$$|^aws-for-fluent-bit$$')
RACE      ?= ./internal/delivery ./internal/digest ./internal/records ./internal/awsx ./cloudwatch ./kinesis ./firehose
FUZZTIME  ?= 30s
BENCH     ?= .
BENCHTIME ?= 1s

test: build format vet ## everything that needs no more than Go and a C compiler, with a short run of the race detector
	@$(MAKE) -s fuzz FUZZTIME=200x
	go test -json ./... | $(COUNT)
	go test -json -race -short $(RACE) | $(COUNT)
	@$(MAKE) -s manifests
	@$(MAKE) -s bench-test
	@if why=$$(cd checkconfig && go list -deps -test . 2>&1 >/dev/null); then \
	  (cd checkconfig && go vet . && go test -json ./...) | $(COUNT); \
	else \
	  echo "SKIP checkconfig: cannot get the YAML parser: $$(echo "$$why" | tail -n 1)"; \
	fi

format:
	@files=$$(gofmt -l .); test -z "$$files" || { echo "run gofmt -w on:"; echo "$$files"; exit 1; }

vet:
	go vet ./...
	go vet -tags e2e ./e2e ./demo ./internal/host

race: ## all tests of plain Go packages under the race detector
	go test -json -race $(PURE) | $(COUNT)

pure: ## all tests of plain Go packages, without C
	CGO_ENABLED=0 go test -json $(PURE) | $(COUNT)

fuzz: ## every fuzz target for FUZZTIME; -fuzztime takes 1000x too
	@n=0; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do \
	  for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
	    cd $$(dirname $$file) || exit 1; \
	    if ! why=$$(go list -deps -test . 2>&1 >/dev/null); then echo "SKIP $$f: cannot get its modules: $$why"; \
	    else go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) . || exit 1; n=$$((n+1)); fi; \
	    cd "$(CURDIR)" || exit 1; \
	  done; \
	done; test $$n -gt 0; echo "tests: $$n fuzz targets passed, $(FUZZTIME) each"

bench: ## benchmarks of plain Go packages: ns, bytes and allocations
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem $(PURE)

# Built by go run at a pinned version; the first time takes two minutes.
LINTER := go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

lint: ## golangci-lint by .golangci.yml
	$(LINTER) run --allow-parallel-runners

lint-tool: ## get golangci-lint, which takes two minutes the first time
	$(LINTER) version

# CONF is the file to check.
check-config: ## say what is wrong with a Fluent Bit configuration, without starting it: make check-config CONF=fluent-bit.conf
	@test -n '$(CONF)' || { echo "name a file: make check-config CONF=fluent-bit.conf"; exit 2; }
	@cd checkconfig && go run . '$(abspath $(CONF))'

# See it work.

demo: build ## ship sample container logs into stand-ins of the AWS services; DEMO_HOST=builtin does it without fluent-bit
	@DEMO_HOST='$(DEMO_HOST)' go run ./demo

# E2E is a pattern for the names of the tests to run.
E2E ?= .

e2e: build ## the plugins under the fluent-bit on the PATH
	@if command -v fluent-bit >/dev/null; then \
	  go test -json -tags e2e -p 1 -count=1 -timeout 25m -run '$(E2E)' ./e2e ./demo ./internal/host | $(COUNT) -v; \
	else \
	  echo "SKIP e2e: no fluent-bit on the PATH"; \
	fi

# SOAK is how long, SOAK_RATE the records a second for each of the plugins.
SOAK ?= 30m

soak: build ## half an hour under fluent-bit with other faults each minute: nothing lost, no growth
	SOAK=$(SOAK) go test -tags e2e -count=1 -timeout 0 -v -run '^TestSoak$$' ./e2e

# Cross builds, releases, the image, manifests.
include release.mk

# Vulnerabilities, licenses, coverage, mutation.
include checks.mk

# Beside other plugins, against another commit, by counted instructions.
include bench.mk

# By the parts that others wrote: pip, npm and fluent-bit where they are there.
conformance: build ## moto, kinesalite, botocore and other decoders look at what the plugins send
	cd conformance && go vet ./... && go test -json -count=1 -timeout 25m ./... | (cd .. && $(COUNT) -v)
