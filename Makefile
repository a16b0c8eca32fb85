# Every target brings what it needs and is fast the second time; `make help` lists them.
PYTHON ?= python3
PREPARE := $(PYTHON) scripts/prepare.py
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: demo serve test test-fast oracle faults soak fuzz servers bench budget lint fmt build clean help
# Recipes share virtual environments and cargo's lock: one at a time.
.NOTPARALLEL:

demo: ## real data, a FastAPI app under uvicorn and the farm command on one SQLite file; ends by itself
	@$(PREPARE) demo
	@.work/demo/bin/python examples/countries/demo.py

serve: ## the app of the demonstration until Ctrl-C; PORT=8000
	@$(PREPARE) demo
	@.work/demo/bin/python examples/countries/serve.py --port $(PORT)

test: ## every test; ends with one line: N passed, N failed, N skipped
	@$(PREPARE) test
	@$(PYTHON) scripts/test.py

test-fast: ## the tests without release builds and slow ones
	@$(PREPARE) test
	@$(PYTHON) scripts/test.py --fast

oracle: ## random queries and updates on every database, mongod among them: N=100000, SEED=1 for others
	@$(PREPARE) test
	@FARM_ORACLE_CASES=$(or $(N),100000) $(if $(SEED),PROPTEST_RNG_SEED=$(SEED)) $(PYTHON) scripts/servers.py -- \
		cargo test --release -p farm-db-core --target $$(rustc -vV | sed -n 's/host: //p') --test oracle -- --nocapture

faults: ## servers killed, wires broken, callers gone, as often as reliability wants: ends within 15 minutes
	@$(PREPARE) test
	@FARM_DB_FAULTS=full FARM_DB_PATIENCE=300 $(PYTHON) scripts/servers.py -- \
		timeout --signal=INT --kill-after=30 900 .venv/bin/python -m pytest -q -p no:cacheprovider -m "not long" \
		tests/faults $(addprefix tests/python/test_,processes.py multiprocessing.py hosts.py) $(ARGS)
	@$(if $(ARGS),:,$(PYTHON) scripts/servers.py -- npx --no-install vitest run --config tests/node/vitest.config.ts hosts process)

soak: ## a million calls on SQLite, a tenth on each server, 200 exits, 1,000 ended workers, long programs: half an hour and more
	@$(PREPARE) test
	@$(PYTHON) scripts/servers.py -- .venv/bin/python -m pytest tests/faults -q -p no:cacheprovider -m long $(ARGS)

fuzz: ## hostile input for the core, guided by coverage; T=600 seconds for each target, ARGS="filter update" for some
	@$(PYTHON) scripts/fuzz.py --seconds $(or $(T),60) $(ARGS)

servers: ## private servers until Ctrl-C, as the tests use them; prints their URLs
	@$(PREPARE) venv
	@$(PYTHON) scripts/servers.py

bench: ## against other libraries on every database; QUICK=1 for a look, ARGS="--backend postgres --only farm_db,asyncpg"
	@$(PREPARE) bench
	@$(PYTHON) scripts/servers.py -- .work/bench/bin/python -m benches $(if $(QUICK),--quick) $(ARGS)

budget: ## instructions of a get, a find and a create against their budget; ARGS=--write makes it anew
	@$(PREPARE) bench
	@$(PYTHON) scripts/servers.py -- .work/bench/bin/python -m benches.instructions $(ARGS)

lint: ## formatting, linters, types
	@$(PREPARE) lint
	@$(PYTHON) scripts/lint.py

fmt: ## format everything
	@$(PREPARE) lint
	@$(PYTHON) scripts/lint.py --fix

build: ## the release wheel (dist/) and the release addon (.work/release/)
	@$(PREPARE) build

clean: ## remove everything that was built or installed
	rm -rf .work .venv dist target node_modules examples/*/node_modules benches/node_modules js/*/dist
	rm -f python/farm_db/_native*.so js/db-native/npm/*/*.node
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
