# The lab in containers and the release. The Makefile includes this file.

COMPOSE  ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
# Only the build gets the version. For docker-compose 1 another version is another
# configuration, and it would make all containers anew, also those of docker-compose up.
PROFILES := --profile client --profile relay --profile load --profile shared --profile kea

.PHONY: lab-up lab-down lab-client lab-shared lab-kea lab-load lab-test dist images deb packages-test arm64-test

lab-up: ## the lab in containers: dhcp6d, two dhcp4d, Prometheus, Grafana, a client
	VERSION=$(VERSION) REVISION=$(REVISION) BUILT=$(BUILT) $(COMPOSE) --profile client build dhcp6d dhcp4d-a client
	$(COMPOSE) up -d
	@echo "Prometheus: http://$$($(COMPOSE) port prometheus 9090)   Grafana: http://$$($(COMPOSE) port grafana 3000)   leases: $(COMPOSE) logs -f client"

lab-down: ## end the lab and forget its leases
	$(COMPOSE) $(PROFILES) down -v --remove-orphans

# The images of lab-up are used.
lab-client: ## add a relay with a client behind it, and follow both clients
	$(COMPOSE) --profile client --profile relay up -d client relay relayed-client
	$(COMPOSE) --profile client --profile relay logs -f client relayed-client

lab-shared: ## add three dhcp4d on one PostgreSQL database, and follow their client
	$(COMPOSE) --profile shared up -d shared-client dhcp4d-1 dhcp4d-2 dhcp4d-3
	$(COMPOSE) --profile shared logs -f shared-client

lab-kea: ## add Kea's DHCPv6 server behind dhcp6d, and follow a client that gets its prefix from Kea and its IPv4 lease from dhcp4d
	$(COMPOSE) --profile kea up -d kea prefix-client
	$(COMPOSE) --profile kea logs -f prefix-client

lab-load: ## run the load generator in the lab once, as .env says
	$(COMPOSE) --profile load run --rm load

lab-test: ## test the lab, and the images for ARM64, on a Docker engine; needs no registry (some minutes)
	DHCP4O6_LAB=1 go test -count=1 -timeout 60m -v ./test/compose

dist: manual ## release archives for amd64 and arm64 in dist/, with checksums
	MANUAL=$(OUT) deploy/dist $(VERSION) $(REVISION)

images: ## images of the daemons for amd64 and arm64 in dist/, for docker load; needs no engine; ARCHES=arm64 makes those of one
	deploy/images $(VERSION) $(REVISION)

deb: manual ## Debian packages for amd64 and arm64 in dist/; ARCHES=amd64 makes those of one
	MANUAL=$(OUT) deploy/deb $(VERSION) $(REVISION)

packages-test: ## install, upgrade, remove and purge the packages in a clean Debian under systemd; needs root
	.ci/install mmdebstrap mmdebstrap systemd-nspawn systemd-container nsenter util-linux lintian lintian
	DHCP4O6_PACKAGES=1 go test -count=1 -timeout 30m -v ./test/packages

arm64-test: build clients ## run leases, and the recipe of docs/fronthaul.md, under emulation with the daemons of the images for ARM64
	.ci/install qemu-aarch64-static qemu-user-static
	rm -rf $(OUT)/images
	ARCHES=arm64 DIST=$(abspath $(OUT)/images) deploy/images $(VERSION) $(REVISION)
	deploy/arm64 $(OUT)/images $(OUT)/emulated
	DHCP4O6_BIN=$(abspath $(OUT)/emulated) go test -count=1 -v -run '^(TestLease|TestInformation|TestRA8Fronthaul)$$' ./test/e2e
