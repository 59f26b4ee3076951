# The lab in containers and the release: included by the Makefile.

COMPOSE  ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
PROFILES := --profile client --profile relay --profile load

.PHONY: lab-up lab-down lab-client lab-load lab-test dist

lab-up: ## the lab in containers: dhcp6d, two dhcp4d, Prometheus, Grafana, a client
	VERSION=$(VERSION) REVISION=$(REVISION) $(COMPOSE) up -d --build
	@echo "Prometheus: http://localhost:$${PROMETHEUS_PORT:-9090}   Grafana: http://localhost:$${GRAFANA_PORT:-3000}   leases: $(COMPOSE) logs -f client"

lab-down: ## end the lab and forget its leases
	$(COMPOSE) $(PROFILES) down -v --remove-orphans

lab-client: ## add a relay with a client behind it, and follow both clients
	$(COMPOSE) --profile client --profile relay up -d --build client relay relayed-client
	$(COMPOSE) --profile client --profile relay logs -f client relayed-client

lab-load: ## run the load generator in the lab once, as .env says
	$(COMPOSE) --profile load run --rm load

lab-test: ## test the lab on a Docker engine, without a registry too (some minutes)
	DHCP4O6_LAB=1 go test -count=1 -timeout 30m -v ./deploy/lab/compose

dist: ## release archives for amd64 and arm64 in dist/, with checksums
	deploy/dist $(VERSION) $(REVISION)
