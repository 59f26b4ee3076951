# `make` alone lists what can be made.

SHELL   := bash
MODULES := shared dhcp6d dhcp4d deploy/lab
PACKAGES := $(MODULES:%=./%/...)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LINT    := go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint

# Fuzzing: how long for each function (make fuzz FUZZTIME=10m).
FUZZTIME ?= 30s

.DEFAULT_GOAL := help
.PHONY: help build test lint fmt fuzz

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build bin/dhcp6d and bin/dhcp4d, static, for this machine
	CGO_ENABLED=0 go build -buildvcs=auto -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/ ./dhcp6d ./dhcp4d

test: build ## unit tests with the race detector, fuzz seeds, end-to-end tests in network namespaces
	go test -race -shuffle=on $(PACKAGES)

lint: ## vet, static analysis, format and the rules of who imports whom; needs no installation
	@set -e; for m in $(MODULES); do echo "lint $$m"; (cd $$m && GOWORK=off $(LINT) run ./...); done

fmt: ## format the code
	@gofmt -w $(MODULES)

fuzz: ## fuzz every parser for FUZZTIME each
	@set -e; grep -rlE --include='*_test.go' '^func Fuzz' $(MODULES) | xargs -n1 dirname | sort -u | while read -r d; do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$d/*_test.go | cut -c6-); do \
			echo "fuzz $$d $$f"; go test ./$$d -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME); \
		done; \
	done
