.PHONY: demo build test soak property lint fuzz bench

demo: build
	@.ci/install postgresql
	@exec bin/reactive-gw demo

build:
	@mkdir -p bin
	CGO_ENABLED=0 go build -o bin/reactive-gw .

# Tests wait for servers more than they compute, so more of them run at a time than there are processors. On the second
# PostgreSQL the race detector would find nothing that it did not find on the first.
PARALLEL ?= 4
test: export TMPDIR := $(shell .ci/scratch)
test:
	@.ci/install postgresql chromium compiler procps
	go vet ./...
	go test -race -count=1 -timeout 20m -parallel $(PARALLEL) ./...
	.ci/on-newest-postgresql go test -count=1 -timeout 20m -parallel $(PARALLEL) ./wal/... ./auth ./integration

# What the oracle in integration/ does, for SOAK in all, a quarter for each way of restarting the gateway. What is drawn is
# drawn from SEED; ORACLE takes further flags, such as -clients=80 (go test ./integration -args -help lists them).
SOAK ?= 10m
SEED ?= 1
ORACLE ?=
soak:
	@.ci/install postgresql
	go test -count=1 -timeout 0 -v -run '^(TestSoak|TestP20P21.*)$$' ./integration -soak $(SOAK) -seed $(SEED) $(ORACLE)

# Every property test for TIME, with other draws in every round. That every view is true, and that nobody is shown what is not
# theirs, is the soak's property: here without restarts.
TIME ?= 10m
property:
	@.ci/install postgresql
	@set -e; for file in $$(grep -rlE --include='*_test.go' 'rapid\.(Make)?Check\(' .); do \
		for target in $$(awk '/^func Test/ {name = $$2} /rapid\.(Make)?Check\(/ {sub(/\(.*/, "", name); print name}' $$file); do \
			echo "$$(dirname $$file) $$target"; \
			sleep $(TIME) & timer=$$!; \
			while kill -0 $$timer 2>/dev/null; do \
				go test -count=1 -run "^$$target\$$" $$(dirname $$file) -rapid.checks 2000 -rapid.seed $$(od -An -N4 -tu4 /dev/urandom) || { kill $$timer; exit 1; }; \
			done; \
		done; \
	done
	go test -count=1 -timeout 0 -v -run '^TestSoak$$/^none$$' ./integration -soak $(TIME) -seed $(SEED) $(ORACLE)

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

# Measures the built gateway beside other programs that do the same work, and writes the table into integration/bench/RESULTS.md.
# BENCH takes flags, such as BENCH='-only 4,5 -runs 3'. It wants the machine for itself, and about an hour for everything.
BENCH ?=
bench: export TMPDIR := $(shell .ci/scratch)
bench:
	@.ci/install postgresql
	@mkdir -p bin
	cd integration/bench && go build -o ../../bin/bench . && exec ../../bin/bench $(BENCH)
