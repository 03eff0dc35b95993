# What people do with this folder. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help run test check long elsewhere soak bench bench-peers openapi screenshots docs clean services style types compiled
.SILENT:

VENV := .venv
PY := $(VENV)/bin/python
SOURCES := tickr tests bench
# Tests run in so many processes: most of them wait for servers most of the time.
WORKERS := 4
# Each of these processes, and each program that they start, would else compile what it imports again.
test check long soak: export PYTHONDONTWRITEBYTECODE :=

help:  ## list what can be made
	echo "Tickr: background jobs over HTTP"
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.run  ## install into .venv and serve on http://127.0.0.1:8080 (more flags: make run ARGS="--port 9000")
	exec $(VENV)/bin/tickr serve $(ARGS)

test: services style  ## everything: format, lint, types, all tests with private MariaDB and Redis servers
	$(MAKE) --no-print-directory -j2 types $(if $(ARGS),,compiled)
	echo "all tests, side by side …"
	$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -m "not soak and not long" $(ARGS) \
	  || { test $$? = 1 && $(PY) -m tests.again; }
	$(if $(ARGS),,echo "a minute of kills and faults …" && $(PY) -m pytest -m soak tests/faults/test_soak.py)

check: style types  ## the quick loop: format, lint, types, layers and the tests that start no servers
	echo "fast tests …"
	$(PY) -m pytest -q $(if $(ARGS),,-n $(WORKERS) --dist loadfile) -m "not slow and not long" $(ARGS)

long: services  ## what takes too long for each time: more seeds and mutations, every bench, 10,000 disconnects
	command -v debootstrap >/dev/null && command -v systemd-nspawn >/dev/null || \
	  .ci/packages "the unit is tried under a systemd of its own" debootstrap systemd-container || true
	echo "the long tests, side by side …"
	$(PY) -m pytest -n $(WORKERS) --dist loadfile -m long $(ARGS)

elsewhere: $(VENV)/.dev  ## all tests on a bare Debian of another release, in a folder (DEBIAN=trixie; needs root)
	command -v debootstrap >/dev/null && command -v systemd-nspawn >/dev/null || \
	  .ci/packages "a Debian in a folder" debootstrap systemd-container
	$(PY) -m tests.elsewhere $(or $(DEBIAN),trixie) $(if $(ARGS),ARGS="$(ARGS)")

soak: services  ## kill and break everything under load for MINUTES=60, and check every promise (one table at the end)
	$(PY) -m tests.faults.soak --minutes $(or $(MINUTES),60) $(ARGS)

bench: services $(VENV)/.bench  ## load tests: lists them, and make bench ARGS="submit" runs one (bench/README.md)
	$(PY) -m bench $(ARGS)

bench-peers: services  ## Tickr beside Celery, BullMQ, graphile-worker and others (bench/peers/README.md)
	command -v npm >/dev/null && ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || \
	  .ci/packages "the peers need PostgreSQL and Node" postgresql nodejs npm || true
	$(PY) -m bench.peers $(ARGS)

openapi: $(VENV)/.run  ## write the description of the API again, after a change to it (docs/openapi.json)
	$(VENV)/bin/tickr openapi > docs/openapi.json

screenshots: services  ## pictures of every screen of the dashboard, of a Tickr with lively work, into OUT=docs/images
	$(PY) -m tests.dashboard.screenshots $(or $(OUT),docs/images)

docs: $(VENV)/.dev  ## the documentation as a site in build/docs/site, every link checked
	$(PY) -m tests.docs.site

clean:  ## remove the virtual environment and everything that was built; data stays
	rm -rf $(VENV) .peers build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

style: $(VENV)/.dev
	echo "format and lint …"
	$(PY) -m ruff format --check --quiet --output-format concise . || { echo "not formatted; run: $(PY) -m ruff format ." >&2; exit 1; }
	$(PY) -m ruff check --quiet .

types: $(VENV)/.dev
	echo "types …"
	$(PY) -m mypy --no-error-summary

# Once, beside the types, and not by all of the processes that run tests at the same time.
compiled: $(VENV)/.dev
	$(PY) -m pytest --quiet --collect-only >/dev/null 2>&1 || true

# The servers that the tests start privately, a browser that listens to the feed, and curl and Node for the examples in
# the docs; what checks the alerts and the unit; what leads nodes to another primary. Where they cannot be installed, the
# tests that need them are skipped (and fail with CI=true).
services: $(VENV)/.dev
	missing=$$($(PY) -m tests.servers) || .ci/packages "for all tests: $$missing" \
	  mariadb-server-core mariadb-client redis-tools libfaketime curl jq nodejs chromium systemd || test "$$CI" != true
	command -v promtool >/dev/null || test -x $(VENV)/bin/promtool || .ci/program $(VENV)/bin /usr/bin/promtool \
	  "promtool (it checks the alerts and the dashboard)" promtool prometheus || test "$$CI" != true
	PATH="$$PATH:/usr/sbin" command -v haproxy >/dev/null || test -x $(VENV)/bin/haproxy || .ci/program $(VENV)/bin /usr/sbin/haproxy \
	  "HAProxy (it leads nodes to another primary)" haproxy || test "$$CI" != true

# Stamps, so that a second run starts at once; pip runs again only when pyproject.toml has changed.
$(VENV)/.run: pyproject.toml $(VENV)/.made
	echo "installing Tickr into $(VENV) (the first time takes a minute) …"
	$(PY) -m pip install -qq --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.made
	echo "installing Tickr and its test tools into $(VENV) (the first time takes a minute) …"
	$(PY) -m pip install -qq --disable-pip-version-check --editable ".[dev]"
	touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.dev
	echo "installing what draws the plots …"
	$(PY) -m pip install -qq --disable-pip-version-check --editable ".[dev,bench]"
	touch $@

$(VENV)/.made:
	.ci/venv $(VENV)
	touch $@
