# Cross builds, releases, the image, and the checks of what deploys them.

DIST      ?= dist
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PLATFORMS := linux-amd64 linux-arm64
# Users load the plugins on old distributions too: none that is still alive has an older one.
OLDEST_GLIBC := 2.17

# zig compiles C for any processor and any glibc. Where it is not installed, its
# wheel is, into a place of its own.
ZIG_VERSION := 0.15.2
ZIG_HOME    ?= $(HOME)/.cache/aws-for-fluent-bit/zig-$(ZIG_VERSION)
ZIG         ?= $(shell command -v zig || echo $(ZIG_HOME)/bin/python -m ziglang)

.PHONY: zig cross release image image-test manifests $(PLATFORMS:%=cross-%)

zig: ## get zig, the C compiler of cross builds
	@$(ZIG) version >/dev/null 2>&1 || { python3 -m venv $(ZIG_HOME) && $(ZIG_HOME)/bin/pip install -q ziglang==$(ZIG_VERSION); }
	@echo "zig $$($(ZIG) version)"

cross: $(PLATFORMS:%=cross-%) ## build for linux/amd64 and linux/arm64, to run with glibc 2.17 and later

target_amd64 := x86_64-linux-gnu.$(OLDEST_GLIBC)
target_arm64 := aarch64-linux-gnu.$(OLDEST_GLIBC)

$(PLATFORMS:%=cross-%): cross-linux-%: zig
	ZIG='$(ZIG)' ZIG_TARGET=$(target_$*) GOOS=linux GOARCH=$* CGO_ENABLED=1 \
	  $(MAKE) build BIN=$(DIST)/linux-$* CC=$(CURDIR)/loader/zigcc.sh
	sh loader/symbols.sh $(DIST)/linux-$*
	sh deploy/glibc.sh $(DIST)/linux-$* GLIBC_$(OLDEST_GLIBC)

# The same commit makes the same archives.
EPOCH = $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

release: cross ## archives of the cross builds, each with its licenses and a bill of materials, and their checksums
	@rm -f $(DIST)/*.tar.gz $(DIST)/SHA256SUMS
	@set -e; for platform in $(PLATFORMS); do \
	  name=aws-for-fluent-bit-$(VERSION)-$$platform; dir=$(DIST)/$$platform; \
	  SOURCE_DATE_EPOCH=$(EPOCH) go run ./deploy/bill -library $$dir/libaws-for-fluent-bit.so -out $$dir; \
	  cp LICENSE README.md CHANGELOG.md fluent-bit.conf fluent-bit.yaml plugins.conf $$dir/; \
	  tar --sort=name --mtime=@$(EPOCH) --owner=0 --group=0 --numeric-owner --transform "s,^\.,$$name," \
	    -C $$dir -c . | gzip -n > $(DIST)/$$name.tar.gz; \
	done
	@cd $(DIST) && sha256sum *.tar.gz > SHA256SUMS && cat SHA256SUMS

image: ## build the container image with docker
	docker build -t aws-for-fluent-bit:$(VERSION) .

image-test: build ## the Dockerfile from start to end by buildah, on base images made on the spot, and the demo through the container
	@sh deploy/image/test.sh

manifests: ## deploy/'s manifests and task definitions, decoded strictly by the types of Kubernetes and ECS
	@if why=$$(cd deploy/check && go list -deps -test . 2>&1 >/dev/null); then \
	  (cd deploy/check && go vet . && go test -json ./...) | $(COUNT); \
	else \
	  echo "SKIP manifests: cannot get the Kubernetes types: $$(echo "$$why" | tail -n 1)"; \
	fi
