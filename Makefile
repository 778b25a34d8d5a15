CONTAINERS = $(CURDIR)/deploy/integration/...
MODULES    = $(filter-out $(CONTAINERS),$(shell go list -m -f '{{.Dir}}/...'))
# Each module that is a program, but for those that only help to deploy it.
BINARIES   = $(shell go list -e -f '{{if eq .Name "main"}}{{.Dir}}{{end}}' $(patsubst %/...,%,$(filter-out $(CURDIR)/deploy/%,$(MODULES))))
BUILT      = $(addprefix bin/,$(notdir $(BINARIES)))
# The race detector needs a C compiler.
RACE       = $(if $(shell command -v $$(go env CC)),-race)
LINTER     = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: build help demo test lint vuln licenses sbom reproducible bench peers fuzz chaos soak images clean
build: ## binaries into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ $(BINARIES)

help: ## what there is to make
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 14

demo: build ## the three systems, run for real
	./demo.sh

# Uncached: tests run binaries and read texts of other modules, and "go test" would not
# see them change.
test: ## all tests; those of containers where there is Docker
	go test -count=1 $(RACE) $(MODULES)
	@if [ "$$IPC_REQUIRE_DOCKER" = 1 ] || docker version >/dev/null 2>&1; then set -x; go test -count=1 $(CONTAINERS); else echo 'SKIPPED: container tests, no Docker'; fi

lint: ## what CI checks besides the tests
	go vet $(MODULES) $(CONTAINERS)
	GOARCH=arm64 go vet $(MODULES)
	GOARCH=386 go vet $(CURDIR)/pkg/...
	go run $(LINTER) run $(MODULES) $(CONTAINERS)

vuln: build ## known vulnerabilities: none may be in a binary, or be reached by pkg; the container tests' are shown
	.ci/vuln -mode=binary $(addprefix $(CURDIR)/,$(BUILT))
	.ci/vuln $(CURDIR)/pkg/...
	-.ci/vuln -test $(CONTAINERS) | grep -E '^Vulnerability|(Found|Fixed) in:|^Your code|copy'

licenses: build ## THIRD_PARTY.md: whose modules are in the binaries, and that their licences are allowed
	go run ./deploy/sbom -list $(BUILT) >bin/THIRD_PARTY.md
	mv bin/THIRD_PARTY.md .

sbom: build ## bill of materials and notices of each binary, as in its image, into bin/doc/
	go run ./deploy/sbom -o bin/doc $(BUILT)

reproducible: ## the same binaries come from the last commit in two folders, with nothing cached
	.ci/reproducible

bench: ## benchmarks of all packages, for benchstat
	go test -run '^$$' -bench . -benchmem $(MODULES)

peers: ## round trips beside the same loops in C, which needs a C compiler
	go run ./ipc-bench/peers

fuzz: ## every fuzz target in turn, FUZZTIME each
	.ci/fuzz $(MODULES)

chaos: ## kill what is at work, over and over: make chaos ROUNDS=1000 SEED=7
	go test ./internal/chaos -v -timeout 0 -rounds $(or $(ROUNDS),100) -seed $(or $(SEED),1)

soak: ## 16 clients and 16 readers for an hour: make soak TIME=1h
	go test ./internal/chaos -v -timeout 0 -run TestSoak -soak $(or $(TIME),1h)

images: ## one image per binary, as ipcsuite/NAME
	deploy/golang-image.sh
	set -e; for b in $(notdir $(BINARIES)); do docker build -f deploy/Dockerfile --target $$b --build-arg VERSION=$$(git describe --always --tags --dirty) --build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git show -s --format=%cI HEAD) -t ipcsuite/$$b .; done

clean: ## what was built
	rm -rf bin
