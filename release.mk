# Cross builds, releases, the image, and the checks of what deploys them.

DIST      ?= dist
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LINUX     := linux-amd64 linux-arm64
PLATFORMS := $(LINUX) windows-amd64
# Users load the plugins on old distributions too: none that is still alive has an older one.
OLDEST_GLIBC := 2.17

# zig compiles C for any processor and any glibc. Where it is not installed, its
# wheel is, into a place of its own.
ZIG_VERSION := 0.15.2
ZIG_HOME    ?= $(HOME)/.cache/aws-for-fluent-bit/zig-$(ZIG_VERSION)
ZIG         ?= $(shell command -v zig || echo $(ZIG_HOME)/bin/python -m ziglang)

.PHONY: zig cross cross-test release image image-test manifests $(PLATFORMS:%=cross-%)

zig: ## get zig, the C compiler of cross builds
	@$(ZIG) version >/dev/null 2>&1 || { python3 -m venv $(ZIG_HOME) && $(ZIG_HOME)/bin/pip install -q ziglang==$(ZIG_VERSION); }
	@echo "zig $$($(ZIG) version)"

cross: $(PLATFORMS:%=cross-%) ## build for linux/amd64 and linux/arm64, to run with glibc 2.17 and later, and for windows/amd64

target_amd64 := x86_64-linux-gnu.$(OLDEST_GLIBC)
target_arm64 := aarch64-linux-gnu.$(OLDEST_GLIBC)

$(LINUX:%=cross-%): cross-linux-%: zig
	ZIG='$(ZIG)' ZIG_TARGET=$(target_$*) GOOS=linux GOARCH=$* CGO_ENABLED=1 \
	  $(MAKE) build BIN=$(DIST)/linux-$* CC=$(CURDIR)/loader/zigcc.sh
	sh loader/symbols.sh $(DIST)/linux-$*
	sh deploy/glibc.sh $(DIST)/linux-$* GLIBC_$(OLDEST_GLIBC)

WINDOWS    := $(DIST)/windows-amd64
CC_WINDOWS  = ZIG='$(ZIG)' ZIG_TARGET=x86_64-windows-gnu sh loader/zigcc.sh -std=c11 -O2 -Wall -Wextra -Werror -s

cross-windows-amd64: zig
	@mkdir -p $(WINDOWS)
	ZIG='$(ZIG)' ZIG_TARGET=x86_64-windows-gnu GOOS=windows GOARCH=amd64 CGO_ENABLED=1 CC=$(CURDIR)/loader/zigcc.sh \
	  go build -buildmode=c-shared -trimpath $(SMALL) -tags '$(TAGS)' -ldflags '-s -w' -o $(WINDOWS)/libaws-for-fluent-bit.dll .
	@for name in $(NAMES); do \
	  $(CC_WINDOWS) -shared -DNAME="\"$$name\"" -DDESCRIPTION="\"$$name\"" loader/loader_windows.c -o $(WINDOWS)/$$name.dll || exit 1; \
	done
	@rm -f $(WINDOWS)/*.h $(WINDOWS)/*.lib $(WINDOWS)/*.pdb
	go run ./loader/exports loader/library.map $(WINDOWS)

# By wine, where it is installed.
cross-test: cross ## the cross builds under the fluent-bit on the PATH, and those for Windows by wine
	@E2E_BIN=$(abspath $(DIST)/linux-amd64) $(MAKE) -s e2e E2E='^(TestArticle|TestDaemonSet|TestImageConfiguration)$$'
	@if command -v wine >/dev/null; then \
	  ZIG='$(ZIG)' E2E_WINDOWS=$(abspath $(WINDOWS)) $(MAKE) -s e2e E2E='^TestWindows$$'; \
	else \
	  echo "SKIP cross-test, Windows: no wine on the PATH"; \
	fi

# The same commit makes the same archives.
EPOCH = $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

release: cross ## archives of the cross builds, each with its licenses and a bill of materials, and their checksums
	@rm -f $(DIST)/*.tar.gz $(DIST)/SHA256SUMS
	@set -e; for platform in $(PLATFORMS); do \
	  name=aws-for-fluent-bit-$(VERSION)-$$platform; dir=$(DIST)/$$platform; \
	  SOURCE_DATE_EPOCH=$(EPOCH) go run ./deploy/bill -library $$(ls $$dir/libaws-for-fluent-bit.*) -out $$dir; \
	  cp -r LICENSE README.md CHANGELOG.md docs fluent-bit.conf fluent-bit.yaml plugins.conf $$dir/; \
	  tar --sort=name --mtime=@$(EPOCH) --owner=0 --group=0 --numeric-owner --transform "s,^\.,$$name," \
	    -C $$dir -c . | gzip -n > $(DIST)/$$name.tar.gz; \
	done
	@cd $(DIST) && sha256sum *.tar.gz > SHA256SUMS && cat SHA256SUMS

image: ## build the container image with docker
	docker build -t aws-for-fluent-bit:$(VERSION) .

image-test: build ## the Dockerfile from start to end by buildah, on base images made on the spot, and the demo through the container
	@bash deploy/image/test.sh

manifests: ## deploy/'s manifests and task definitions, decoded strictly by the types of Kubernetes and ECS
	@if why=$$(cd deploy/check && go list -deps -test . 2>&1 >/dev/null); then \
	  (cd deploy/check && go vet . && go test -json ./...) | $(COUNT); \
	else \
	  echo "SKIP manifests: cannot get the Kubernetes types: $$(echo "$$why" | tail -n 1)"; \
	fi
