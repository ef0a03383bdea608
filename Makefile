# Everything starts here. Each target first sets up what it needs; a second run of it finds that done.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CATALOGUES := $(wildcard platform/*/locale/*/LC_MESSAGES/django.po */locale/*/LC_MESSAGES/django.po)
SOURCES := manage.py platform tenants shop billing ops deploy tests
TEMPLATES := $(wildcard platform/*/templates */templates)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run drill test check format bench demo-data smoke deploy-staging lock audit sbom clean test-packages

help:
	@echo "make run        start everything on this machine: http://localhost:8000 (PORT, COMANDA_DATA)"
	@echo "make test       run the tests; ARGS='tests/shop -x' for some of them, without the measure of coverage"
	@echo "make check      lint, types, imports, migrations, templates, translations"
	@echo "make format     write the code in its one format"
	@echo "make bench      measure what docs/benchmarks.md states"
	@echo "make drill      lose a database, recover it from the archive, and say how long it takes and what is lost"
	@echo "make demo-data  load the demo's cafeterias (make run does it by itself)"
	@echo "make smoke      ask a running platform from outside: make smoke SMOKE_URL=https://comanda.example"
	@echo "make deploy-staging   bring this commit to the staging server that this runs on (docs/staging.md); ARGS=--dry-run only tells"
	@echo "make lock       choose the versions in requirements.lock anew"
	@echo "make audit      ask the network for known weaknesses in what requirements.lock names; ADVISORIES=<a copy of them> asks that instead"
	@echo "make sbom       write what the product is made of to sbom.cdx.json (CycloneDX)"
	@echo "make clean      remove what can be made again; the data folder stays"

# --- Setting up -------------------------------------------------------------------------------------------------------------

setup: $(VENV)/installed $(VENV)/translated

# An environment that is there already is kept: other programs may be running from it.
$(VENV)/created:
	@for candidate in $(BIN)/python "$(PYTHON)" python3.14 python3.13 python3.12; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then \
	    echo "Setting up in $(VENV) with $$("$$candidate" --version)"; \
	    if [ "$$candidate" != "$(BIN)/python" ]; then "$$candidate" -m venv $(VENV) || exit 1; fi; \
	    touch $@; exit; \
	  fi; \
	done; \
	echo "Comanda needs Python 3.12 or newer, and '$(PYTHON)' is not. Install one and say where: make PYTHON=/path/to/python3.13 ..." >&2; \
	exit 1

$(VENV)/locked: requirements.lock $(VENV)/created
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes --requirement requirements.lock
	@touch $@

$(VENV)/installed: pyproject.toml $(VENV)/locked
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/translated: $(CATALOGUES) $(VENV)/installed
	@$(BIN)/python -m config.dev.catalogues
	@touch $@

test-packages: setup
	@$(BIN)/python -m config.dev.system_packages

# --- Working ----------------------------------------------------------------------------------------------------------------

run: setup
	@$(BIN)/python -m config.dev

# On a data folder of its own, which it erases; ARGS='--seconds 60' lets guests order longer before the loss.
drill: setup
	@$(BIN)/python -m config.dev.drill $(ARGS)

demo-data: setup
	@$(BIN)/python manage.py migrate_fleet
	@$(BIN)/python manage.py load_demo

bench: setup
	@$(BIN)/python -m tests.bench

# Coverage runs around pytest, not within: it then sees what loads before the tests, and the processes that they start.
test: test-packages
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n 4 --dist worksteal; tests=$$?; $(BIN)/coverage combine --quiet; $(BIN)/coverage report && exit $$tests
endif

check: setup
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(BIN)/shellcheck deploy/*.sh deploy/*/*.sh
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.staging.yml
	$(BIN)/djlint --lint --quiet $(TEMPLATES)  # not its format: the storefront's templates are lean on purpose, each space goes to a phone

format: setup
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

smoke: setup
	@SMOKE_URL="$(SMOKE_URL)" $(BIN)/python -m pytest -c tests/smoke/pytest.ini tests/smoke -rs

deploy-staging:
	@deploy/staging.sh $(ARGS)

# The images' own locks are parts of the first: what runs is what was tested.
LOCK := $(BIN)/uv pip compile --universal --generate-hashes --no-header --no-annotate
lock: setup
	$(LOCK) pyproject.toml --all-extras --output-file requirements.lock
	$(LOCK) pyproject.toml --constraint requirements.lock --output-file deploy/requirements.lock
	$(LOCK) deploy/smoke.in --constraint requirements.lock --output-file deploy/smoke.lock

# Both tools run outside of the environment, so that it holds nothing that the product does not need.
audit: setup
ifdef ADVISORIES
	@$(BIN)/python -m tests.security.audit "$(ADVISORIES)"
else
	$(BIN)/uv tool run --from pip-audit==2.10.1 pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock
endif

sbom: setup
	$(BIN)/uv tool run --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --output-reproducible --output-format JSON \
	  --output-file sbom.cdx.json requirements.lock

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find platform tenants shop billing ops -name '*.mo' -delete
