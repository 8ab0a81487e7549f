# Needs: make, and Python 3.11 or newer. As root the rest is installed (apt); as a user you are told
# the one command that is missing, and PostgreSQL comes from wheels where the system has none.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
# The same commit gives the same files.
COMMITTED = $(shell git log -1 --format=%ct 2>/dev/null)
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# What the tours need is a small part of it: of the two, what is there will do. In both only what is
# used is compiled, when it is: that is less than all.
DEMO_STAMP := $(VENV)/.demo
FOR_DEMO := $(if $(wildcard $(STAMP)),$(STAMP),$(DEMO_STAMP))
# Wheels hold these; 19 is tested where SNAP_PG_BINDIR names a folder that has it.
WHEELS := 14 15 16 17 18
MAJORS := $(WHEELS) 19
# What differs between majors: the text of dumps, the catalogs, the clients, CREATE DATABASE.
VERSION_TESTS := $(addprefix tests/postgres/test_,$(addsuffix .py,versions client_gate settings_text \
	odd_databases dump_race dump_race_stress many_tables_failures postgresql_19 restore restore_table restore_partitions undo sessions sources sources_properties properties_applied \
	login_triggers drill globals_dump changes_hazards changes_history changes_guards changes_fingerprint changes_stress))
PYTEST := $(BIN)/python -m pytest
# Half of the time a test waits for other processes or for a moment: three keep two processors busy.
WORKERS := 3
# On a machine that has other work, too, a test that failed runs once more; which did is listed.
TWICE := --reruns 1 --rerun-show-tracebacks -raR
# Runs a command that prints nothing for long, with a dot every two seconds.
WAIT := sh -c 'printf "%s " "$$1"; shift; \
	(while sleep 2 && kill -0 $$$$ 2>/dev/null; do printf .; done) & dots=$$!; \
	"$$@"; code=$$?; kill $$dots 2>/dev/null; echo; exit $$code' wait
# Errors are printed, and no warnings of what it tried.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
define MAKE_VENV
[ -n '$(PYTHON)' ] || { echo 'make: needs Python 3.11 or newer: run `apt-get install python3` as root' >&2; exit 1; }; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	package="$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q "$$package" || exit; \
	else \
		echo "make: Python's venv module is missing: run \`apt-get install $$package\` as root" >&2; exit 1; \
	fi; \
}; \
$(BIN)/python -m pip --version >/dev/null 2>&1 || \
	$(WAIT) 'making a virtual environment' $(PYTHON) -m venv --clear $(VENV)
endef
export PIP_ROOT_USER_ACTION := ignore
# Where this is set, each of the many programs that the tests start compiles all of snap again.
export PYTHONDONTWRITEBYTECODE :=

# A virtual environment whose Python is gone, or cannot be run by this user, is made again.
ifneq ($(shell $(BIN)/python -c 'print(1)' 2>/dev/null),1)
.PHONY: $(STAMP) $(DEMO_STAMP)
endif

.PHONY: help demo test test-system test-long test-writers test-all-versions test-browser axe azurite lint format bench postgresql man docs screenshot dist clean
.DELETE_ON_ERROR:

help:
	@echo 'make demo               the tours, on a throw-away PostgreSQL'
	@echo 'make test               all that an ordinary user can run: lint and tests'
	@echo 'make test-system        the tests that need root; SNAP_TEST_FOLDER=PATH keeps what failing tests leave there'
	@echo 'make test-long          the same, with thousands of kills, power cuts and interrupts, others each time: hours'
	@echo 'make test-writers       an hour of sixteen writers and a gc at one remote repository; goes on if interrupted'
	@echo 'make test-moments       1,000 snapshots of a restless database: 40 minutes; goes on where it was stopped'
	@echo 'make test-all-versions  the tests that need PostgreSQL, on versions $(MAJORS)'
	@echo 'make test-browser       the page in a real Chromium, which root installs: part of test-system'
	@echo 'make axe                installs what finds barriers in pages, by npm, for test-browser'
	@echo 'make azurite            installs an emulator of Azure Blob Storage by npm, whose tests are skipped without it'
	@echo 'make lint               ruff and mypy'
	@echo 'make format             let ruff lay out the code'
	@echo 'make man                man pages from the declarations of --help, in man/'
	@echo 'make docs               the documentation as a site, in build/site; a broken link is an error'
	@echo 'make screenshot         records the session that README.md shows, in docs/terminal.svg'
	@echo 'make dist               wheel and source archive in dist/, checked, installed once and tried'
	@echo 'make bench              all benchmarks; make bench-commit, bench-read, bench-memory, bench-chunking run one;'
	@echo '                        make bench-many: 20,000 snapshots; make bench-tables: 200,000 tables;'
	@echo '                        make bench-storage, which is not part of it, stores 30 versions of 520 MB'
	@echo '                        make bench-incremental, neither, measures commits that read only changes'
	@echo 'make clean              remove what make has made'

demo: $(FOR_DEMO)
	@$(BIN)/python -m pgsnap.cluster.installing
	$(BIN)/snap demo
	$(BIN)/snap demo --offsite

test: lint $(STAMP) postgresql
	$(PYTEST) -n $(WORKERS) --dist worksteal $(TWICE) -m 'not system'

# To collect all the others takes longer than some of these.
SYSTEM_TESTS = $(shell grep -rlE 'mark\.system\b' tests --include='test_*.py')
test-system: $(STAMP) postgresql
	@[ "$$(id -u)" = 0 ] || { echo 'make: test-system needs root: run `sudo make test-system`' >&2; exit 1; }
	$(PYTEST) -n 2 --dist loadfile $(TWICE) -m system $(SYSTEM_TESTS)
	$(BIN)/python -m pgsnap.cluster.installing 17
	SNAP_MOMENTS=100 $(PYTEST) $(TWICE) --pg-major 17 tests/postgres/test_changes_stress.py

# Of these `make test` runs a part (tests/support/running/breadth.py), or always the same examples.
LONG_TESTS = $(shell grep -rlE 'support.running.breadth|hypothesis' tests --include='test_*.py')
# The same in the numbers that take hours.
test-long: export SNAP_LONG := 1
test-long: export SNAP_KILLS := 1000
test-long: export SNAP_POWER_CUTS := 1000
test-long: export SNAP_STEP := 1
test-long: export SNAP_SHARE := 1
test-long: export SNAP_MODEL_STEPS := 3000
test-long: export SNAP_INTERRUPTS := 200
test-long: export SNAP_SEQUENCES := 300
test-long: export SNAP_RACED_COMMITS := 200
test-long: export SNAP_FUZZ_INPUTS := 10000000
test-long: export SNAP_SEED ?= 0
test-long: test-system
	$(PYTEST) tests/unit/repository/chunks/test_ingest_next_snapshot.py tests/postgres/test_dump_race_stress.py
	$(PYTEST) -n 2 --timeout 0 tests/property/test_stored_bytes_fuzzed.py
	$(MAKE) test-moments
	$(PYTEST) -n 2 tests/faults/test_every_request.py $(LONG_TESTS)
	$(MAKE) test-writers

# With one seed, by which the rounds that were done are remembered.
test-writers: $(STAMP)
	SNAP_WRITERS_SECONDS=3600 SNAP_SEED=$${SNAP_WRITERS_SEED:-1} $(PYTEST) -n 0 tests/system/test_many_writers.py

# Parts of a hundred, each with other random numbers, on two versions by turns: those that were
# passed are not run again.
MOMENT_PARTS := $(addprefix build/moments/,1 2 3 4 5 6 7 8 9 10)
test-moments: $(MOMENT_PARTS)
	rm -rf build/moments

$(MOMENT_PARTS): | $(STAMP)
	$(BIN)/python -m pgsnap.cluster.installing 17 18
	SNAP_MOMENTS=100 SNAP_SEED=$(notdir $@) $(PYTEST) tests/postgres/test_changes_stress.py \
		--pg-major $(if $(filter 1 3 5 7 9,$(notdir $@)),17,18)
	@mkdir -p build/moments && touch $@

test-all-versions: $(STAMP)
	$(BIN)/python -m pgsnap.cluster.installing $(WHEELS)
	@for major in $(MAJORS); do \
		$(PYTEST) -n 2 -rs -m 'not system' --pg-major $$major $(VERSION_TESTS) || exit 1; \
	done

test-browser: $(STAMP) postgresql axe
	$(PYTEST) -n 0 tests/system/test_page_in_browser.py

axe:
	npm install --silent --no-audit --no-fund --ignore-scripts \
		--prefix "$${XDG_CACHE_HOME:-$$HOME/.cache}/pgsnap/axe" axe-core@4

azurite:
	npm install --silent --no-audit --no-fund --ignore-scripts \
		--prefix "$${XDG_CACHE_HOME:-$$HOME/.cache}/pgsnap/azurite" azurite@3

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

man: $(STAMP)
	rm -rf man
	SOURCE_DATE_EPOCH=$(COMMITTED) $(BIN)/python -m pgsnap.cli.manual man

# Laid out as in this folder, with the files that pages link.
PAGES := README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE docs benchmarks/README.md database \
	src/pgsnap/demo
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	rm -rf build/pages build/site && mkdir -p build/pages
	tar --exclude=__pycache__ -c $(PAGES) | tar -xC build/pages
	$(BIN)/zensical build --strict

screenshot: $(STAMP) postgresql
	$(BIN)/python docs/terminal.py

# The wheel is built from the source archive, so that both are tried.
dist: man
	rm -rf dist build/try
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[release]'
	SOURCE_DATE_EPOCH=$(COMMITTED) $(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	$(PYTHON) -m venv build/try
	build/try/bin/pip install --quiet --disable-pip-version-check dist/*.whl
	build/try/bin/pgsnap --version
	test -s build/try/share/man/man1/pgsnap-restore.1

bench: $(STAMP) postgresql
	$(BIN)/python benchmarks/run.py

bench-%: $(STAMP) postgresql
	$(BIN)/python benchmarks/bench_$*.py

postgresql: $(STAMP)
	@$(BIN)/python -m pgsnap.cluster.installing

$(DEMO_STAMP): pyproject.toml
	@$(MAKE_VENV)
	@$(WAIT) 'installing snap and what the tours need, by pip' \
		$(PIP_INSTALL) --no-compile --editable '.[demo]'
	@touch $@

$(STAMP): pyproject.toml
	@$(MAKE_VENV)
	@$(WAIT) 'installing snap and what it needs, by pip' $(PIP_INSTALL) --no-compile --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist man .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
