# Measuring: beside other plugins under a real fluent-bit, against another commit,
# and by counted instructions.

.PHONY: bench-peers bench-chart bench-test bench-diff instructions instructions-check

# Empty: what bench/ has as its default, which ends in about half an hour.
# SHAPES, WORKERS and LATENCIES make a matrix of their own; CASES names some of it.
# Without OTHERS it is ours beside Fluent Bit's C plugins and the null output.
CASES     ?=
SHAPES    ?=
WORKERS   ?=
LATENCIES ?=
SERVICES  ?=
RECORDS   ?=
ROUNDS    ?=
OTHERS    ?=
TRICKLE_ROUNDS ?=
JSON      ?= bench/figures.json
CHART     ?= bench/cpu.svg

# What the README says belongs to the figures that are checked in.
bench_readme = $(if $(filter bench/figures.json,$(JSON)),-readme $(CURDIR)/README.md)
bench_flags  = $(foreach f,CASES SHAPES WORKERS LATENCIES SERVICES RECORDS ROUNDS TRICKLE_ROUNDS OTHERS,$(if $($f),-$(shell echo $f | tr A-Z_ a-z-) '$($f)')) \
               $(if $(JSON),-json '$(abspath $(JSON))') $(if $(CHART),-chart '$(abspath $(CHART))') $(bench_readme)

bench-peers: build ## CPU, memory, requests and bytes beside Fluent Bit's C plugins, OTHERS=name=path.so,... too; half an hour, less with ROUNDS=1 or SHAPES, WORKERS, LATENCIES
	@if why=$$(cd bench && go list -deps . 2>&1 >/dev/null); then \
	  cd bench && go run . -bin '$(abspath $(BIN))' -from '$(CURDIR)' $(bench_flags); \
	else \
	  echo "SKIP bench-peers: cannot get the charting library: $$(echo "$$why" | tail -n 1)"; \
	fi

bench-chart: ## draw the chart anew, and the README's sentence, of the figures in JSON
	cd bench && go run . -redraw -json '$(abspath $(JSON))' -chart '$(abspath $(CHART))' $(bench_readme)

bench-test: # the benchmark's own tests: part of make test
	@if why=$$(cd bench && go list -deps -test . 2>&1 >/dev/null); then \
	  (cd bench && go vet . && go test -json ./...) | $(COUNT); \
	else \
	  echo "SKIP bench: cannot get the charting library: $$(echo "$$why" | tail -n 1)"; \
	fi

# BASE is what to compare with, BENCH a pattern of benchmarks, COUNT how often each
# runs on either side, PACKAGES which. COUNT is the Makefile's own name for what
# counts tests, so only one from the command line is a number.
BASE     ?= HEAD
PACKAGES ?= $(PURE)

bench-diff: ## benchmarks of plain Go packages against those of BASE=commit, by benchstat; BENCH=Flush COUNT=10 PACKAGES='./cloudwatch ./kinesis'
	@bash bench/diff.sh '$(BASE)' '$(BENCH)' '$(if $(filter command,$(firstword $(origin COUNT))),$(COUNT),6)' '$(BENCHTIME)' $(PACKAGES)

# TOLERANCE is in percent; two runs of the same code differ by less than one.
TOLERANCE ?= 3
ONLY      ?=

instructions: ## what a record costs in each plugin, counted by valgrind: writes bench/instructions.md; two minutes
	@go run ./internal/instructions -write bench/instructions.md && cat bench/instructions.md

instructions-check: ## what a record costs now, beside bench/instructions.md; fails beyond TOLERANCE percent; ONLY=kinesis for some
	@go run ./internal/instructions -check bench/instructions.md -tolerance $(TOLERANCE) -only '$(ONLY)'
