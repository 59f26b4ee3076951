# `make` alone lists what can be made.

SHELL    := bash
MODULES  := shared dhcp6d dhcp4d deploy/lab
PACKAGES := $(MODULES:%=./%/...)
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
REVISION ?= $(shell git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X github.com/dhcp4o6/dhcp4o6/shared/metric.revision=$(REVISION)

# The race detector needs a C compiler. Without one the tests run all the same,
# but not in CI.
ifneq ($(shell command -v $(firstword $(or $(CC),cc)) 2>/dev/null),)
RACE := -race
else ifeq ($(CI),true)
$(error no C compiler, which the race detector needs)
else
$(info no C compiler: the tests run without the race detector)
endif

# The linter is a tool of the module tools, built on first use (some minutes)
# and taken from Go's build cache from then on. It must not see GOWORK=off,
# which is for building it alone.
LINTER = $$(GOWORK=off go -C tools tool -n golangci-lint)

# How long each function is fuzzed: make fuzz FUZZTIME=10m.
FUZZTIME ?= 30s

# How long a soak takes, about: make soak SOAK=12h.
SOAK ?= 4h

.DEFAULT_GOAL := help
# What bench-compare measures and where its report goes: make bench-compare
# COMPARE='-sources 256' OUT=/tmp/report.
COMPARE ?=
OUT     ?= docs/bench

.PHONY: help build rules demo test interop bench bench-compare flame lint fmt fuzz soak

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/dhcp6d and bin/dhcp4d, static
	CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./dhcp6d ./dhcp4d

rules: ## compare docs/rules.md with the names of the tests
	@go run ./deploy/lab/cmd/rules

demo: build ## clients get leases on a throw-away IPv6-only network; no root where the kernel allows user namespaces
	@go build -o bin/ ./deploy/lab/cmd/demo && bin/demo

test: build ## unit tests with the race detector, fuzz seeds, end-to-end tests in network namespaces
	go test $(RACE) -shuffle=on $(PACKAGES)
ifdef RACE
	go test -shuffle=on ./dhcp4d/internal/store # exhaustive without the race detector only
endif

interop: build ## every pair of ours and Kea's halves, and other servers beside ours; INSTALL=1 installs Debian's Kea first
ifeq ($(INSTALL),1)
	.ci/install kea-dhcp4 kea-dhcp4-server kea-dhcp6 kea-dhcp6-server tshark tshark dnsmasq dnsmasq-base
endif
	DHCP4O6_INTEROP=1 go test -count=1 -v ./deploy/lab/interop

bench: ## micro-benchmarks of codecs, loops, table and store with a million leases; LARGE=1 for ten million too
	go test -run '^$$' -bench . -benchtime 200ms ./shared/... ./dhcp6d/...
	$(if $(LARGE),STORE_LARGE=1) go test -run '^$$' -bench . -benchtime 200ms -timeout 1h ./dhcp4d/internal/{lease,pool,reply,subnet,config,server,commit,store}
	go test -run '^$$' -bench . -benchtime 200ms -timeout 1h ./dhcp4d/internal/table $(if $(LARGE),-args -tenmillion)

bench-compare: build ## our pair, Kea's and a bare one side by side: CPU, rate, latency, memory; COMPARE=flags
	.ci/install kea-dhcp4 kea-dhcp4-server kea-dhcp6 kea-dhcp6-server cc gcc
	CGO_ENABLED=0 go build -buildvcs=false -trimpath -o bin/ ./deploy/lab/cmd/dhcp4o6-perf ./deploy/lab/cmd/bench-compare
	bin/bench-compare -out $(OUT) -commit $(VERSION) $(COMPARE)

flame: ## flame graphs of both daemons with 64 exchanges in flight, the kernel included; needs root
	.ci/install perf linux-perf
	CGO_ENABLED=0 go build -buildvcs=false -o bin/symbols/ ./dhcp6d ./dhcp4d
	CGO_ENABLED=0 go build -buildvcs=false -trimpath -o bin/ ./deploy/lab/cmd/dhcp4o6-perf ./deploy/lab/cmd/bench-compare
	bin/bench-compare -bin bin/symbols -subjects ours -rounds 1 -windows 64 -rates '' -n 128000 -profile docs/flame

lint: ## static analysis, format and who may import whom; needs no installation
	$(LINTER) run $(PACKAGES)

fmt: ## format the code
	$(LINTER) fmt $(MODULES)

soak: build ## the long proofs for SOAK, the result in docs/soak.md
	go run ./deploy/lab/cmd/soak -time $(SOAK)

fuzz: ## fuzz every parser, FUZZTIME each
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' $(MODULES) | xargs -n1 dirname | sort -u | while read -r dir; do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
			echo "$$dir $$f"; go test ./$$dir -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME); \
		done; \
	done

include deploy/lab.mk
