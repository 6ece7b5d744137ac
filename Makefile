# Everything needs Go, git and make. Postgres, Redis, and for the tests a C compiler (for the race detector) and nginx, are installed by apt where they are missing
# and that is possible; the commands say so. The heavy tools have module files of their own in tools/, so that the service's stays its own.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The version is git's word, given to the linker: Go's own stamp fails where git doubts the owner of the work tree. All is built without cgo,
# so that what one program compiled the next one finds in the cache.
VERSION := $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)
REVISION := $(shell git rev-parse HEAD 2>/dev/null)
GO_BUILD := CGO_ENABLED=0 go build -buildvcs=false

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s  %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: strata bin/k6 ## Compare the four strategies under load: a table and loadtest/results/latest/report.html (DURATION, LISTINGS, RATE, STRATEGIES change it)
	@$(GO_BUILD) -o bin/loadtest ./loadtest
	@bin/loadtest -strata bin/strata -k6 bin/k6 $(if $(DURATION),--duration $(DURATION)) $(if $(LISTINGS),--listings $(LISTINGS)) \
		$(if $(RATE),--rate $(RATE)) $(if $(STRATEGIES),--strategies '$(STRATEGIES)')

.PHONY: run
run: strata ## Run the service on a private Postgres and Redis, with made-up data (LISTINGS, HTTP_ADDR, ADMIN_ADDR change it)
	@$(GO_BUILD) -o bin/run ./deploy/local/run
	@bin/run -strata bin/strata $(if $(LISTINGS),--listings $(LISTINGS))

.PHONY: test
test: lint strata bin/k6 bin/postgres_exporter compiler nginx prometheus ## Lint, then all tests with the race detector, on real Postgres, Redis, Prometheus and k6
	@echo "Testing ..."
	@STRATA_BIN="$(CURDIR)/bin/strata" STRATA_K6="$(CURDIR)/bin/k6" STRATA_POSTGRES_EXPORTER="$(CURDIR)/bin/postgres_exporter" go run ./tools/alltests . k8s tools/image

.PHONY: torture
torture: strata ## Do a whole deployment harm, and hold every answer against the history of commits (DURATION, SEED, FAULTS change it)
	@$(GO_BUILD) -o bin/torture ./torture
	@bin/torture -strata bin/strata -summary bin/torture.json $(if $(DURATION),-duration $(DURATION)) $(if $(SEED),-seed $(SEED)) $(if $(FAULTS),-faults $(FAULTS))

.PHONY: boards
boards: ## Write the dashboards anew from dashboards/generate
	@go run ./dashboards/generate

.PHONY: picture
picture: strata bin/k6 bin/postgres_exporter prometheus ## Draw dashboards/caching.svg, the home board as a minute of real load fills it, and record anew what the exporters export
	@go test ./dashboards -run EveryPanel -count=1 -update

# Compose: the whole stack, with boards. STRATEGY, LISTINGS, RATE and the rest of .env.example change it.
COMPOSE = VERSION=$(VERSION) docker compose $(if $(TAIL),-f docker-compose.yml -f deploy/compose.tail-sampling.yml) $(if $(LOGS),--profile logs)

# Docker without the plugin would print its own help.
.PHONY: compose
compose:
	@docker compose version >/dev/null 2>&1 || { echo "This needs Docker with the Compose plugin, 2.24.4 or newer (docker-compose-v2 or docker-compose-plugin): make doctor says more." >&2; exit 1; }

.PHONY: up
up: compose ## Start the whole stack by Docker Compose and wait until it is healthy (LOGS=1 with Loki, TAIL=1 with tail sampling)
	@$(COMPOSE) up --detach --build --wait --remove-orphans
	@echo "Boards: http://127.0.0.1:$${GRAFANA_PORT:-3000}   API: http://127.0.0.1:$${HTTP_PORT:-8080}/docs   Prometheus: http://127.0.0.1:$${PROMETHEUS_PORT:-9090}"

.PHONY: down
down: compose ## Stop it (VOLUMES=1 removes the data too)
	@docker compose --profile '*' down --remove-orphans $(if $(VOLUMES),--volumes)

.PHONY: logs
logs: compose ## Follow its logs (SERVICE=strata for one service)
	@docker compose --profile '*' logs --follow --tail 50 $(SERVICE)

.PHONY: load
load: compose ## A run of k6 against it (RATE, DURATION, WRITES, SEED change it); the boards show it
	@$(COMPOSE) --profile load run --rm k6

.PHONY: compare
compare: ## Play each strategy in turn with the same visitors; the home board shows all of them (DURATION, RATE, STRATEGIES change it)
	@VERSION=$(VERSION) bash deploy/compare.sh

.PHONY: footprint
footprint: ## Measure its working set against the budget of 1.2 GiB
	@bash deploy/footprint.sh

.PHONY: doctor
doctor: ## What is missing on this machine, what is unhealthy in the stack, and what to do
	@bash deploy/doctor.sh

.PHONY: compose-check
compose-check: ## Start the stack under a name of its own, ask it for data, stop it; says so where there is no Docker
	@bash deploy/compose-check.sh

# Kubernetes: a cluster on this machine, and where its images come from.
REGISTRY := localhost:5005

.PHONY: kind
kind: ## Start everything in a Kubernetes cluster on this machine (needs Docker, kind and kubectl); `tilt up` works on it, too
	@bash k8s/kind.sh up $(REGISTRY)

.PHONY: kind-down
kind-down: ## Remove that cluster and its registry
	@bash k8s/kind.sh down $(REGISTRY)

.PHONY: kind-check
kind-check: ## Ask the cluster of KUBECONFIG, with the kind overlay in it, for good manners, and restart the service under load; says so where there is none
	@cd k8s && STRATA_CLUSTER_CHECK=1 go test -count=1 -timeout 20m -v -run TestCluster .

.PHONY: bench
bench: ## Run the benchmarks (BENCH=pattern for some of them), package by package
	@for package in $$(grep -rl --include='*_test.go' '^func Benchmark' app deploy loadtest | xargs -n 1 dirname | sort -u); do \
		grep -qE "^func Benchmark.*$(BENCH)" $$package/*_test.go || case '$(BENCH)' in *[!A-Za-z0-9_]*) ;; *) continue ;; esac; \
		echo "$$package: compiling; the first time this takes minutes ..."; \
		go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -timeout 30m ./$$package || exit 1; \
	done

.PHONY: lint
lint: bin/golangci-lint bin/actionlint ## gofmt, go vet and the linters of .golangci.yml
	@echo "Linting ..."
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "not formatted (gofmt -w changes it):" >&2; echo "$$unformatted" >&2; exit 1; }
	@go vet ./...
	@bin/golangci-lint run
	@cd k8s && CGO_ENABLED=0 go vet ./... && CGO_ENABLED=0 ../bin/golangci-lint run --config ../.golangci.yml
	@cd tools/image && CGO_ENABLED=0 go vet ./... && CGO_ENABLED=0 ../../bin/golangci-lint run --config ../../.golangci.yml
	@bin/actionlint

# Not a part of test: it needs the internet, and what others publish overnight must not fail a change that has nothing to do with it. GOVULNDB names another database
# than https://vuln.go.dev: a mirror's URL, or file:// and a directory. Exit code 3 of govulncheck is a finding; anything else but 0 means that nothing was found out.
.PHONY: vuln
vuln: bin/govulncheck ## Look for known vulnerabilities in what the service calls (needs the internet; GOVULNDB names another database)
	@{ problem=$$(CGO_ENABLED=0 bin/govulncheck $(if $(GOVULNDB),-db '$(GOVULNDB)') ./app/... 2>&1 >&3); } 3>&1 || { code=$$?; \
		[ $$code = 3 ] || echo "Nothing was looked up, because the database cannot be asked or the packages cannot be loaded: $$problem" >&2; exit $$code; }

# Twice, the second time in another folder (COLD=1: and with an empty build cache): what differs would show that something else than the commit went into it.
.PHONY: release
release: bin/cyclonedx-gomod ## Build what a release of HEAD holds, twice, byte by byte the same: binaries, image, SBOMs, checksums, in bin/release
	@commit=$$(git rev-parse HEAD) && bash tools/release.sh bin/release $$commit && \
		echo "Once more, to compare ..." && \
		$(if $(COLD),GOCACHE=$$(mktemp -d)) bash tools/release.sh bin/release-again $$commit >/dev/null
	@diff bin/release/SHA256SUMS bin/release-again/SHA256SUMS || { echo "Two builds of one commit differ." >&2; exit 1; }
	@rm -r bin/release-again
	@cat bin/release/SHA256SUMS

.PHONY: build
build: strata ## Build bin/strata, the service

.PHONY: strata
strata:
	@echo "Building bin/strata (with a cold cache this takes a minute) ..."
	@VERSION='$(VERSION)' REVISION='$(REVISION)' sh app/build.sh bin/strata

bin/k6: tools/k6.mod tools/k6.sum
	@echo "Building bin/k6, the load generator, from source: about 90 seconds with a cold cache, once ..."
	@$(GO_BUILD) -modfile=tools/k6.mod -o $@ go.k6.io/k6/v2

bin/postgres_exporter: tools/postgres_exporter.mod tools/postgres_exporter.sum
	@echo "Building bin/postgres_exporter from source: about 30 seconds with a cold cache, once ..."
	@$(GO_BUILD) -modfile=tools/postgres_exporter.mod -o $@ github.com/prometheus-community/postgres_exporter/cmd/postgres_exporter

bin/golangci-lint: tools/golangci-lint.mod tools/golangci-lint.sum
	@echo "Building bin/golangci-lint from source: about 2 minutes with a cold cache, once ..."
	@$(GO_BUILD) -modfile=tools/golangci-lint.mod -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bin/actionlint: tools/actionlint.mod tools/actionlint.sum
	@echo "Building bin/actionlint from source: some seconds, once ..."
	@$(GO_BUILD) -modfile=tools/actionlint.mod -o $@ github.com/rhysd/actionlint/cmd/actionlint

bin/cyclonedx-gomod: tools/cyclonedx-gomod.mod tools/cyclonedx-gomod.sum
	@echo "Building bin/cyclonedx-gomod from source: about 30 seconds with a cold cache, once ..."
	@$(GO_BUILD) -modfile=tools/cyclonedx-gomod.mod -o $@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

bin/govulncheck: tools/govulncheck.mod tools/govulncheck.sum
	@echo "Building bin/govulncheck from source: some seconds, once ..."
	@$(GO_BUILD) -modfile=tools/govulncheck.mod -o $@ golang.org/x/vuln/cmd/govulncheck

# The race detector needs a C compiler. Go's idea of which one comes from CC.
.PHONY: compiler
compiler:
	@command -v "$$(go env CC | cut -d ' ' -f 1)" >/dev/null || { \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo -n); \
		command -v apt-get >/dev/null && $$sudo true || { echo "The race detector needs a C compiler: install gcc and libc's headers." >&2; exit 1; }; \
		echo "Installing gcc by apt, for the race detector ..."; \
		$$sudo apt-get update -qq && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends gcc libc6-dev >/dev/null; }

# A shared cache, as a CDN is one, for the tests of what it does with the service's answers.
.PHONY: nginx
nginx:
	@command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || { \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo -n); \
		command -v apt-get >/dev/null && $$sudo true || { echo "No nginx: the tests with a CDN in front are skipped."; exit 0; }; \
		echo "Installing nginx by apt, for the tests with a CDN in front ..."; \
		$$sudo bash deploy/local/install.sh nginx >/dev/null; }

# Prometheus with promtool, for the rules' tests, and Redis' exporter, for the end-to-end test. None is started as a service.
.PHONY: prometheus
prometheus:
	@command -v promtool >/dev/null && command -v prometheus >/dev/null && command -v prometheus-redis-exporter >/dev/null || { \
		sudo=$$([ "$$(id -u)" = 0 ] || echo sudo -n); \
		command -v apt-get >/dev/null && $$sudo true || { echo "The tests of boards and rules need prometheus, promtool and prometheus-redis-exporter in PATH (on macOS: brew install prometheus; go install github.com/oliver006/redis_exporter@latest, and link it by that name)." >&2; exit 1; }; \
		echo "Installing Prometheus and Redis' exporter by apt, for the tests of boards and rules ..."; \
		$$sudo sh deploy/local/install.sh prometheus prometheus-redis-exporter >/dev/null; }

.PHONY: module
module: ## Give the module another path everywhere, so that others can import it (MODULE=example.com/strata)
	@tools/module.sh '$(MODULE)'

.PHONY: clean
clean: ## Remove what was built; the results of load tests stay
	rm -rf bin
