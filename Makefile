# Every target makes its own virtual environment first. Python 3.11 or newer and make are all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo pictures notebook quick docs docs-reference test coverage lint audit types bench fuzz soak mutation gpu-check fmt clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Venation needs Python 3.11 or newer: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing Venation into $(VENV): a download of some GB, which takes minutes and prints nothing"
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[search]'
	touch $@

# What tests, linters and documentation need besides.
$(VENV)/developed: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev
	touch $@

demo: $(VENV)/installed
	$(BIN)/venation demo --out demo

# The pictures of the pages, from the results of a demo; and the tutorial notebook with its outputs.
pictures: $(VENV)/developed demo
	$(BIN)/python docs/images/draw.py demo

notebook: $(VENV)/developed
	$(BIN)/python docs/tutorial/run.py

# The tests that need neither a database nor a training; tests/slow_files.py lists the slow ones.
quick: $(VENV)/developed
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist worksteal

# Against what users install, so that a file which the wheel forgot is missed; it comes before the editable copy.
test: $(VENV)/developed
	rm -rf build
	$(BIN)/python -m pip install --quiet --no-deps --target build/installed .
	PYTHONPATH=$(CURDIR)/build/installed $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

# The lines that no test runs. Measuring them slows the tests down.
coverage: $(VENV)/developed types
	PYTHONPATH=$(CURDIR)/.types $(BIN)/python -m pytest --numprocesses 2 --dist worksteal \
		--cov venation --cov-report term:skip-covered

# Fails on a broken link or anchor. Every asset of the site is local.
docs: $(VENV)/developed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

# The pages that are generated from the command line, the stored attributes and docstrings.
docs-reference: $(VENV)/developed
	$(BIN)/python docs/generate.py

lint: $(VENV)/developed types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/detect-secrets-hook --exclude-files '^tests/' --exclude-lines '"image/png"' --disable-plugin HexHighEntropyString $$(git ls-files)

# Needs a connection to the advisories; without one it says so, and is not the same as clean.
audit: $(VENV)/developed
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/python .ci/audit.py

types: $(VENV)/developed
	mkdir -p .types && ln -sfn .. .types/venation
	$(BIN)/mypy

bench: $(VENV)/developed
	for script in benchmarks/[a-z]*.py; do $(BIN)/python $$script || exit 1; done

# Many hostile inputs for every reader: an hour. It goes on where it stopped; faults are in build/fuzz.
fuzz: $(VENV)/developed
	$(BIN)/python benchmarks/fuzz.py

# The service in use for 15 minutes: memory, open files and connections stay flat. benchmarks/soak.py takes --minutes.
soak: $(VENV)/developed
	$(BIN)/python benchmarks/soak.py

# Changes data/manifest.py in place, one operator at a time, and puts it back: commit before, and edit nothing meanwhile.
mutation: $(VENV)/developed types
	$(BIN)/python -m pip install --quiet cosmic-ray
	rm -f build/mutation.sqlite && mkdir -p build
	$(BIN)/cosmic-ray init tests/mutation.toml build/mutation.sqlite
	PYTHONPATH=$(CURDIR)/.types $(BIN)/cosmic-ray exec tests/mutation.toml build/mutation.sqlite
	$(BIN)/cr-report build/mutation.sqlite

# Accepts a GPU: results, speed and memory against their goals. Without one, a reduced form shows that it works.
gpu-check: $(VENV)/developed
	$(BIN)/python benchmarks/gpu_check.py

fmt: $(VENV)/developed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .types build *.egg-info
