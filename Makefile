BINARIES   = ./pipe-demo ./fifo-server ./fifo-client ./shm-server ./shm-client
CONTAINERS = $(CURDIR)/deploy/integration/...
MODULES    = $(filter-out $(CONTAINERS),$(shell go list -m -f '{{.Dir}}/...'))
# The race detector needs a C compiler.
RACE       = $(if $(shell command -v $$(go env CC)),-race)
LINTER     = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: build demo test lint bench fuzz images clean
build: ## binaries into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ $(BINARIES)

demo: build ## the three systems, run for real
	./demo.sh

test: ## all tests; those of containers where there is Docker
	go test $(RACE) $(MODULES)
	go test -count=1 $(CONTAINERS)

lint: ## what CI checks besides the tests
	go vet $(MODULES) $(CONTAINERS)
	GOARCH=arm64 go vet $(MODULES)
	go run $(LINTER) run $(MODULES) $(CONTAINERS)

bench: ## benchmarks of all packages, for benchstat
	go test -run '^$$' -bench . -benchmem $(MODULES)

fuzz: ## every fuzz target in turn, FUZZTIME each
	.ci/fuzz $(MODULES)

images: ## one image per binary, as ipcsuite/NAME
	deploy/golang-image.sh
	set -e; for b in $(notdir $(BINARIES)); do docker build -f deploy/Dockerfile --target $$b --build-arg REVISION=$$(git rev-parse HEAD) -t ipcsuite/$$b .; done

clean:
	rm -rf bin
