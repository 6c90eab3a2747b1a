.PHONY: demo build test lint fuzz

demo: build
	@.ci/install postgresql
	@exec bin/reactive-gw demo

build:
	@mkdir -p bin
	CGO_ENABLED=0 go build -o bin/reactive-gw .

test:
	@.ci/install postgresql chromium compiler procps
	go vet ./...
	go test -race -count=1 -timeout 14m ./...

lint:
	go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0 run ./...

# Every fuzz target for as long as FUZZTIME says.
FUZZTIME ?= 1m
fuzz:
	@set -e; for file in $$(grep -rl --include='*_test.go' '^func Fuzz' .); do \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9]*\).*/\1/p' $$file); do \
			echo "$$(dirname $$file) $$target"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$(dirname $$file); \
		done; \
	done
