MODULES  = $(shell go list -m -f '{{.Dir}}/...')
BINARIES = ./pipe-demo ./fifo-server ./fifo-client ./shm-server ./shm-client
# The race detector needs a C compiler.
RACE     = $(if $(shell command -v $$(go env CC)),-race)
LINTER   = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: build demo test lint bench clean
build: ## binaries into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ $(BINARIES)

demo: build ## the three systems, run for real
	./demo.sh

test: ## all tests
	go test $(RACE) $(MODULES)

lint: ## what CI checks besides the tests
	go vet $(MODULES)
	go run $(LINTER) run $(MODULES)

bench: ## benchmarks of all packages, for benchstat
	go test -run '^$$' -bench . -benchmem $(MODULES)

clean:
	rm -rf bin
