# `make` alone lists what can be made.

SHELL    := bash
MODULES  := shared dhcp6d dhcp4d clients test bench
PACKAGES := $(MODULES:%=./%/...)
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
REVISION ?= $(shell git describe --always --abbrev=40 --exclude='*' --dirty 2>/dev/null)
# A clock that is before this time is wrong.
BUILT    ?= $(shell git log -1 --format=%cI 2>/dev/null)
LDFLAGS  := -X main.version=$(VERSION) -X github.com/dhcp4o6/dhcp4o6/shared/metric.revision=$(REVISION) -X github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock.built=$(BUILT)
GOBUILD  := CGO_ENABLED=0 go build -buildvcs=false -trimpath

# The race detector needs a C compiler. Without one the tests run without it, except in CI,
# where that is an error.
ifneq ($(shell command -v $(firstword $(or $(CC),cc)) 2>/dev/null),)
RACE := -race
# A program with the race detector sleeps for a second before it ends, in case that goroutines go
# on. Those of tests have ended, so a tenth of a second is enough.
export GORACE := atexit_sleep_ms=100
else ifeq ($(CI),true)
$(error no C compiler, which the race detector needs)
else
$(info no C compiler: the tests run without the race detector)
endif

# Packages that are tested at once. Those below test mostly wait, so they begin first, and others use
# the processors meanwhile.
ATONCE := $(shell echo $$((2 * $$(nproc))))

# The linter is a tool of the module tools. The first use builds it (some minutes); later
# ones take it from Go's build cache. GOWORK=off is only for building it.
LINTER = $$(GOWORK=off go -C tools tool -n golangci-lint)

# The time for each fuzz test: make fuzz FUZZTIME=10m.
FUZZTIME ?= 30s

# About how long a soak takes: make soak SOAK=12h.
SOAK ?= 4h
# A soak in pieces adds up in a directory: make soak SOAK=90m SOAK_STATE=/var/tmp/soak.
# The pieces of the one that is under way are in test/cmd/soak/pieces.
SOAK_STATE ?=

.DEFAULT_GOAL := help
# Flags of bench-compare: make bench-compare COMPARE='-sources 256'.
COMPARE ?=
# The directory for reports and flame graphs. To update the report in docs/:
# cp out/bench.txt out/bench.svg docs/.
OUT     ?= out

.PHONY: help build clients rules manual demo test interop bench bench-compare flame lint fmt fuzz soak

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/dhcp6d, bin/dhcp4d and bin/dhcp4d-radius, static
	$(GOBUILD) -ldflags '-s -w $(LDFLAGS)' -o bin/ ./dhcp6d ./dhcp4d ./dhcp4d/dhcp4d-radius

clients: ## build the client, the load generator and the relays in bin/, static
	$(GOBUILD) -ldflags '-s -w $(LDFLAGS)' -o bin/ ./clients/cmd/...

rules: ## compare docs/rules.md with the names of the tests
	@go run ./test/cmd/rules

manual: build clients ## write manual pages and completions of all programs, in OUT
	mkdir -p $(OUT)/man $(OUT)/completion/{bash,zsh,fish}
	for p in dhcp6d dhcp4d dhcp4d-radius $(notdir $(wildcard clients/cmd/*)); do \
		case $$p in dhcp6d|dhcp4d*) n=8;; *) n=1;; esac; \
		bin/$$p manual man > $(OUT)/man/$$p.$$n && bin/$$p manual bash > $(OUT)/completion/bash/$$p && \
		bin/$$p manual zsh > $(OUT)/completion/zsh/_$$p && bin/$$p manual fish > $(OUT)/completion/fish/$$p.fish || exit; \
	done

demo: build ## show clients that get leases on a throw-away IPv6-only network; no root if the kernel allows user namespaces
	@$(GOBUILD) -ldflags '-s -w $(LDFLAGS)' -o bin/ ./test/cmd/demo
	@bin/demo

test: build clients ## unit tests with the race detector, fuzz seeds, end-to-end tests in network namespaces
	go test $(RACE) -p $(ATONCE) -shuffle=on ./test/... $(filter-out ./test/...,$(PACKAGES))
	go test -tags budget -run Budget ./shared/{attachment,dhcp4,dhcp6,ipc,expression,outside,spool,document} ./dhcp4d/internal/{server,hooks,radius,kea,leasefile,leaselog,config} ./dhcp6d/internal/{server,hooks,config,listen} ./clients/relay # work for each octet
ifdef RACE
	go test -shuffle=on ./dhcp4d/internal/store/{disk,journal,pebble} # exhaustive without the race detector only
	go test -run TestDatabaseSeeds ./dhcp4d/internal/simulation # some hundred seeds, ten times what it runs above
	go test -run Allocations ./shared/expression # with the race detector package regexp allocates
endif

interop: build ## test every pair of our halves and Kea's, and other DHCPv6 servers beside ours; INSTALL=1 installs Debian's Kea first
ifeq ($(INSTALL),1)
	.ci/install kea-dhcp4 kea-dhcp4-server kea-dhcp6 kea-dhcp6-server tshark tshark dnsmasq dnsmasq-base dhclient isc-dhcp-client dhcpcd dhcpcd-base dhcp6s wide-dhcpv6-server
endif
	DHCP4O6_INTEROP=1 go test -count=1 -v ./test/interop

bench: ## micro-benchmarks of codecs, loops, table and store with a million leases; LARGE=1 for ten million too
	go test -run '^$$' -bench . -benchtime 200ms ./shared/... ./dhcp6d/...
	$(if $(LARGE),STORE_LARGE=1) go test -run '^$$' -bench . -benchtime 200ms -timeout 1h ./dhcp4d/internal/{lease,free,reply,network,config,server,commit,store/disk,store/postgres}
	go test -run '^$$' -bench . -benchtime 200ms -timeout 1h ./dhcp4d/internal/table $(if $(LARGE),-args -tenmillion)

bench-compare: build clients ## measure our pair, Kea's and a bare one side by side (CPU, rate, latency, memory), in OUT; COMPARE=flags
	.ci/install kea-dhcp4 kea-dhcp4-server kea-dhcp6 kea-dhcp6-server cc gcc
	$(GOBUILD) -ldflags '-s -w $(LDFLAGS)' -o bin/ ./bench/cmd/bench-compare
	mkdir -p $(OUT)
	bin/bench-compare -out $(OUT)/bench -commit $(VERSION) $(COMPARE)

flame: clients ## draw flame graphs of both daemons and the kernel with 64 exchanges in flight, in OUT; needs root
	.ci/install perf linux-perf
	$(GOBUILD) -ldflags '$(LDFLAGS)' -o bin/symbols/ ./dhcp6d ./dhcp4d
	$(GOBUILD) -ldflags '-s -w $(LDFLAGS)' -o bin/ ./bench/cmd/bench-compare
	mkdir -p $(OUT)
	bin/bench-compare -bin bin/symbols -subjects ours -rounds 1 -windows 64 -rates '' -n 128000 -profile $(OUT)/flame

lint: ## check code, format and imports, and build each module alone; needs no installation
	$(LINTER) run $(PACKAGES)
	GOWORK=off go -C tools/kubernetes test ./... # deploy/kubernetes/base
	for m in $(MODULES); do (cd $$m && GOWORK=off go build ./...) || exit 1; done

fmt: ## format the code
	$(LINTER) fmt $(MODULES)

soak: build ## run the long tests for SOAK, and write the result to docs/soak.md
	go run ./test/cmd/soak -time $(SOAK) -state "$(SOAK_STATE)"

fuzz: ## fuzz every parser, FUZZTIME each
	@set -e; grep -rl --include='*_test.go' '^func Fuzz' $(MODULES) | xargs -n1 dirname | sort -u | while read -r dir; do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
			echo "$$dir $$f"; go test -tags budget ./$$dir -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME); \
		done; \
	done

include deploy/lab.mk
