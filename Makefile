# Everything here works from nothing: Python 3.11 or newer and make are enough.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo install test check format bench soak docs lock clean no-library

PY := .venv/bin/python
BENCHES := events rls runtime http backlog wakeups capacity
# The version of PostgreSQL for `make test`; the embedded one if not set.
PG ?=
export PG

help: ## This list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.runtime ## Everything in a minute, with its own PostgreSQL; ONCE=1 ends by itself
	@.venv/bin/aerofn demo $(if $(ONCE),--once)

install: .venv/.dev ## A .venv with AeroFn and all that is needed to work on it

test: check ## All tests; PG=15 on that PostgreSQL, ARGS='-k name' for some
	@echo "pytest"
	@$(PY) -m pytest $(or $(ARGS),-n 2 --dist loadfile --no-loadscope-reorder)

check: .venv/.dev ## Style, types, import layers, C, SQL
	@echo "ruff"; .venv/bin/ruff check --quiet --output-format concise . && .venv/bin/ruff format --quiet --check .
	@echo "mypy"; .venv/bin/mypy --no-error-summary
	@echo "import layers"; .venv/bin/lint-imports >.venv/layers.txt 2>&1 || { cat .venv/layers.txt; exit 1; }
	@echo "C"; $(PY) tools/build_library.py --check
	@echo "SQL"; $(PY) tools/check_sql.py

format: .venv/.dev ## Put the code into the project's style
	@.venv/bin/ruff check --quiet --fix-only . && .venv/bin/ruff format .

bench: $(BENCHES:%=bench-%) ## All benchmarks: bench-events, bench-rls, bench-runtime, bench-http, bench-backlog, bench-wakeups, bench-capacity

bench-%: .venv/.dev
	@test -f bench/$*.py || { echo "there is no bench/$*.py" >&2; exit 1; }
	@echo "bench/$*.py" >&2; $(PY) -m bench.$* $(ARGS)

soak: .venv/.dev ## Everything at once for SOAK_MINUTES=20 with faults, then exactly once, sqlsmith, 200,000 invocations; SEED=n
	@LONG=1 $(PY) -m pytest -m long $(ARGS)
	@$(PY) -m bench.soak --minutes $(or $(SOAK_MINUTES),20) --seed $(or $(SEED),1)
	@CHAOS_EVENTS=5000 CHAOS_SEED=$(or $(SEED),1) $(PY) -m pytest tests/chaos --timeout 1800 $(ARGS)
	@SQLSMITH_SECONDS=180 $(PY) -m pytest tests/security/test_sqlsmith.py --timeout 1800 -s $(ARGS)
	@$(PY) -X faulthandler -m bench.runtime_soak --invocations $(or $(INVOCATIONS),200000)

docs: .venv/.dev ## The documentation as a site, in dist/site
	@.venv/bin/sphinx-build -q -W --keep-going -b html docs dist/site && echo "dist/site/index.html"

lock: .venv/.dev ## The image's dependencies, pinned with hashes for every platform: deploy/*.lock
	@$(PY) -m pip install --quiet --disable-pip-version-check uv
	@for wanted in "requirements --extra otel pyproject.toml" "build deploy/build.in"; do set -- $$wanted; name=$$1; shift; \
		$(PY) -m uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --upgrade \
			--no-emit-index-url --no-emit-find-links --no-header "$$@" -o deploy/$$name.lock || exit 1; done

clean: ## Stop embedded servers; delete them, the .venv and all caches
	@test ! -x $(PY) || for d in .aerofn/*/; do test ! -d "$$d" || $(PY) -m aerofn.db.embedded "$$d"; done
	@rm -rf .aerofn .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist aerofn/runtime/native/libaerofn.*
	@find . -name __pycache__ -prune -exec rm -rf {} +

# Installed again when pyproject.toml changes, and only then; a change of the C builds the library alone.
NATIVE := $(wildcard aerofn/runtime/native/*.[ch]) tools/build_library.py \
	$(if $(wildcard aerofn/runtime/native/libaerofn.so aerofn/runtime/native/libaerofn.dylib),,no-library)
pip_install = echo "installing $(2) into .venv" && .venv/bin/pip install --quiet --disable-pip-version-check --editable $(1)
build_library = echo "building AeroFn's library" && $(PY) tools/build_library.py

.venv/.runtime: pyproject.toml $(NATIVE) | .venv/bin/pip
	@$(if $(filter pyproject.toml,$?),$(call pip_install,.,AeroFn),$(build_library))
	@touch $@

.venv/.dev: pyproject.toml $(NATIVE) | .venv/bin/pip
	@$(if $(filter pyproject.toml,$?),$(call pip_install,'.[dev]',AeroFn and its tools),$(build_library))
	@touch $@ .venv/.runtime

# `command -v` is not enough: a version manager may have the name without the version.
.venv/bin/pip:
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		echo "making .venv with $$($$python --version)"; \
		$$python -m venv .venv && exit 0; \
		echo "that Python has no working venv; on Debian: apt-get install python3-venv" >&2; rm -rf .venv; exit 1; \
	done; \
	echo "AeroFn needs Python 3.11 or newer: install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1
