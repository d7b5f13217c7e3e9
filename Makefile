# What each target needs, and nothing more, is Go, a C compiler and make.

BIN     ?= bin
CC      ?= cc
LIBRARY := $(BIN)/libaws-for-fluent-bit.so
NAMES   ?= cloudwatch kinesis firehose
LOADERS := $(NAMES:%=$(BIN)/%.so)

# Tests of the C boundary build with GOTAGS=hosttest and one more of NAMES, probe.
GOTAGS  ?=
GOBUILD ?=

# -soname: the loaders ask for the library by this name. The version script
# hides everything that is not part of the boundary.
EXTLD   := -Wl,-soname,libaws-for-fluent-bit.so -Wl,--version-script=$(CURDIR)/loader/library.map
SOURCES := $(shell find . -name '*.go' -not -name '*_test.go' -not -path './e2e/*' -not -path './demo/*') \
           $(wildcard internal/flb/*.c internal/flb/*.h) go.mod go.sum loader/library.map

CFLAGS_LOADER := -std=c11 -O2 -Wall -Wextra -Werror -fPIC -fvisibility=hidden
LDFLAGS_LOADER := -shared -Wl,-rpath,'$$ORIGIN' -Wl,-z,relro,-z,now -Wl,--no-undefined -Wl,--build-id=none -s

describe_cloudwatch := Amazon CloudWatch Logs
describe_kinesis    := Amazon Kinesis Data Streams
describe_firehose   := Amazon Data Firehose
describe_probe      := does what the tag of a chunk says

.PHONY: help build clean symbols

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(LIBRARY) $(LOADERS) ## build the Go library and its three loaders into bin/

$(LIBRARY): $(SOURCES)
	@mkdir -p $(BIN)
	go build -buildmode=c-shared -trimpath -tags '$(GOTAGS)' $(GOBUILD) -ldflags '-s -w -extldflags "$(EXTLD)"' -o $@ .
	@rm -f $(BIN)/libaws-for-fluent-bit.h

$(LOADERS): $(BIN)/%.so: loader/loader.c $(LIBRARY)
	$(CC) $(CFLAGS_LOADER) -DNAME='"$*"' -DDESCRIPTION='"$(describe_$*)"' $< $(LDFLAGS_LOADER) -L$(BIN) -laws-for-fluent-bit -o $@

symbols: build ## check what the four files show, and print the glibc they need
	@sh loader/symbols.sh $(BIN)

clean: ## remove what was built
	rm -rf $(BIN)
