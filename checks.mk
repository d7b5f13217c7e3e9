# Longer looks: known vulnerabilities, what the library is made of, what the
# tests run, and what they would not notice.

.PHONY: vuln sbom cover mutation

VULNCHECK := go run golang.org/x/vuln/cmd/govulncheck@v1.9.0

vuln: ## known vulnerabilities in what is called, by govulncheck
	@if ! why=$$($(VULNCHECK) -version 2>&1); then echo "SKIP vuln: cannot get govulncheck: $$(echo "$$why" | tail -n 1)"; exit 0; fi; \
	out=$$($(VULNCHECK) ./... 2>&1); status=$$?; echo "$$out"; \
	case "$$out" in "govulncheck: fetching vulnerabilities: "*) echo "SKIP vuln: cannot reach the database of vulnerabilities"; exit 0;; esac; \
	exit $$status

sbom: build ## the modules in the built library, their licenses and an SPDX document, into bin/
	go run ./deploy/bill -library $(LIBRARY) -out $(BIN)

# The library is built anew with -cover, away from the usual one, and driven by
# the tests of the C boundary and, where there is a fluent-bit, by the e2e tests
# that COVER_E2E names.
COVER_E2E ?= TestTwoInstances|TestLog|TestMetrics|TestThreePlugins|TestPartialFailures

cover: ## statements that tests run, by package; the C boundary and the way through it by a library built with -cover
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; mkdir "$$dir/run" "$$dir/cache"; \
	echo "by each package's own tests:"; \
	CGO_ENABLED=0 go test -cover $(PURE) 2>&1 | awk '$$1 == "ok" && $$5 ~ /%/ { printf "  %-42s %s\n", $$2, $$5 } /^FAIL/ || /^---/ { print }'; \
	export GOCOVERDIR="$$dir/run" XDG_CACHE_HOME="$$dir/cache" GOCACHE="$$(go env GOCACHE)" MORETAGS=measured MOREFLAGS='-cover -covermode=atomic'; \
	go test -count=1 -short ./internal/host; \
	if command -v fluent-bit >/dev/null; then \
	  $(MAKE) -s build BIN="$$dir/bin"; \
	  E2E_BIN="$$dir/bin" go test -count=1 -tags e2e -run '$(COVER_E2E)' ./e2e >/dev/null || echo "the e2e tests failed: see make e2e"; \
	fi; \
	echo "of the built library, driven from C and by fluent-bit:"; \
	go tool covdata percent -i="$$dir/run" | awk '{ printf "  %-42s %s\n", $$1, $$3 }'

# Operators are changed one by one and the package's tests run each time: a change
# that lives is one that they do not notice, and is in the list or wrong. Of the
# packages of MUTATE; AGAIN=-again leaves out what was killed the last time, of the
# same code.
GREMLINS := github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0
MUTATE   ?= ./internal/chunk ./internal/base64 ./internal/digest ./internal/spare ./internal/jsonenc+./internal/parts ./internal/parts ./internal/options ./internal/template ./internal/fields ./internal/emf ./internal/timefmt ./internal/compress \
            ./internal/records+./kinesis+./firehose ./internal/delivery ./internal/awsx ./internal/flb ./cloudwatch ./kinesis ./firehose
AGAIN    ?=

mutation: ## changes to the code that no test notices and that conformance/mutants.md has no argument for
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	if ! why=$$(GOBIN="$$dir" go install $(GREMLINS) 2>&1); then echo "SKIP mutation: cannot get gremlins: $$(echo "$$why" | tail -n 1)"; exit 0; fi; \
	nice -n 19 go run ./internal/mutants -gremlins "$$dir/gremlins" -argued conformance/mutants.md -keep $(BIN)/mutants $(AGAIN) $(MUTATE)
