# Every target creates .venv on first use, and again only when the requirements change.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Number of test processes, with one thread each.
JOBS ?= 2

# EnvPool installs half a gigabyte of other simulators' assets, so it has its own environment.
ENVPOOL := .venv-envpool/.installed
ENVPOOL_CONSTRAINTS := benchmarks/speeds/peers/envpool-constraints.txt

# The D4RL functions in use need none of the simulators that D4RL requires, and D4RL conflicts with .venv.
D4RL := .venv-d4rl/.installed
D4RL_REQUIREMENTS := benchmarks/speeds/peers/d4rl-requirements.txt

# d3rlpy pins gymnasium 1.0.0.
D3RLPY := .venv-d3rlpy/.installed
D3RLPY_REQUIREMENTS := tests/support/d3rlpy-requirements.txt

# HTML pages of data sets are tested in Chromium, from Debian's packages.
CHROMIUM := $(if $(shell command -v chromedriver),,chromium)

.PHONY: chromium demo test test-full test-clients lint bench bench-gpu scores robustness cost page pendulum attention halfcheetah endurance figures readme catalogue references wheel clean help

help:
	@echo "make demo          SAC agent, data set, Decision Transformer and scores, in 2 to 3 minutes"
	@echo "make test          the default test suite"
	@echo "make test-full     all tests, with 100 killed builds, every trained agent and 10,000 damaged files, in 40 minutes"
	@echo "make test-clients  tests against D4RL and d3rlpy in their own environments, and in Chromium"
	@echo "make lint          style, types and import layers"
	@echo "make bench         speed benchmarks against Gymnasium, EnvPool, C, Minari, h5py, Stable-Baselines3, D4RL and transformers, in 15 minutes"
	@echo "make bench-gpu     training and inference on a GPU against transformers, if there is a GPU"
	@echo "make scores        offline-RL benchmark: nine methods on eight data sets, in a day; resumes an interrupted run"
	@echo "make robustness    the same models under pushes, noise and changed masses, in hours; resumes"
	@echo "make cost          training and inference time, on an idle machine, in half an hour"
	@echo "make page          all results in one HTML file, results.html"
	@echo "make pendulum      replicate Bahri's Decision Transformers on Pendulum; resumes"
	@echo "make attention     attention analysis of three claims, in a quarter of an hour; resumes"
	@echo "make halfcheetah   model error by horizon and returns by beam width, in an hour; resumes"
	@echo "make endurance     10⁹ random steps with random parameters, in a minute"
	@echo "make figures       energy drift, random pushes and the GIF of README.md, in half a minute"
	@echo "make readme        generate the tables of docs/ from the committed results"
	@echo "make catalogue     add a built release to the catalog: make catalogue RELEASE=DIR"
	@echo "make references    recompute the reference returns of the normalized score"
	@echo "make wheel         the wheel of cartpole_phys, in dist/"
	@echo "make clean         remove virtual environments and build outputs"

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: expected Python 3.11 or newer, got " + sys.version.split()[0] + "; name another with: make PYTHON=python3.11")'
	@echo "Installing into .venv, once; this takes a few minutes."
	$(PYTHON) -m venv .venv
	@echo "  1 of 2: PyTorch"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	@echo "  2 of 2: cartpole-phys and all dependencies of the demo and the tests"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

# Optional: without EnvPool the benchmark leaves its rows out.
$(ENVPOOL): $(ENVPOOL_CONSTRAINTS)
	@echo "Installing EnvPool into .venv-envpool for comparison: 300 MB, once."
	@$(PYTHON) -m venv --clear .venv-envpool \
		&& .venv-envpool/bin/python -m pip install --quiet --disable-pip-version-check --constraint $< envpool \
		&& touch $@ \
		|| echo "EnvPool could not be installed; its rows are left out."

$(D4RL): $(D4RL_REQUIREMENTS)
	@echo "Installing D4RL into .venv-d4rl for comparison: 160 MB, once."
	@$(PYTHON) -m venv --clear .venv-d4rl \
		&& .venv-d4rl/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $< \
		&& touch $@ \
		|| echo "D4RL could not be installed; comparisons with it are left out."

$(D3RLPY): $(D3RLPY_REQUIREMENTS)
	@echo "Installing d3rlpy into .venv-d3rlpy for its example: 900 MB, once."
	@$(PYTHON) -m venv --clear .venv-d3rlpy
	@.venv-d3rlpy/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

chromium:
	@echo "Installing Chromium and its driver, to test HTML pages."
	@apt-get update -qq && apt-get install -y -qq chromium chromium-driver > /dev/null \
		|| { echo "error: expected chromium and chromedriver on the path; install them, then run this again."; exit 2; }

demo: $(INSTALLED)
	@$(BIN)/python -m benchmarks.demo

test: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

test-full: $(INSTALLED) $(D4RL) $(D3RLPY) $(CHROMIUM)
	@OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.full_suite --jobs $(JOBS)

test-clients: $(INSTALLED) $(D4RL) $(D3RLPY) $(CHROMIUM)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "clients and not slow"

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(INSTALLED) $(ENVPOOL) $(D4RL)
	@$(BIN)/python -m benchmarks.speeds.environment
	@$(BIN)/python -m benchmarks.speeds.rollout
	@$(BIN)/python -m benchmarks.speeds.startup
	@$(BIN)/python -m benchmarks.speeds.building
	@$(BIN)/python -m benchmarks.speeds.storage
	@$(BIN)/python -m benchmarks.speeds.sampling
	@$(BIN)/python -m benchmarks.speeds.transitions
	@$(BIN)/python -m benchmarks.speeds.exporting
	@$(BIN)/python -m benchmarks.speeds.models
	@$(BIN)/python -m benchmarks.speeds.planning

bench-gpu: $(INSTALLED)
	@$(BIN)/python -m benchmarks.speeds.gpu

scores: $(INSTALLED)
	@$(BIN)/python -m benchmarks.scores

robustness: $(INSTALLED)
	@$(BIN)/python -m benchmarks.robustness

cost: $(INSTALLED)
	@$(BIN)/python -m benchmarks.cost

page: $(INSTALLED)
	@$(BIN)/python -m benchmarks.page

pendulum: $(INSTALLED)
	@$(BIN)/python -m benchmarks.pendulum

attention: $(INSTALLED)
	@$(BIN)/python -m benchmarks.attention

halfcheetah: $(INSTALLED)
	@$(BIN)/python -m benchmarks.halfcheetah

endurance: $(INSTALLED)
	@$(BIN)/python -m benchmarks.endurance

figures: $(INSTALLED)
	@$(BIN)/python -m benchmarks.energy_drift
	@$(BIN)/python -m benchmarks.shoves
	@$(BIN)/python -m benchmarks.swing_up_gif

readme: $(INSTALLED)
	@$(BIN)/python -m benchmarks.readme

# RELEASE is a folder written by: cartpole-phys release
catalogue: $(INSTALLED)
	@$(BIN)/python -m benchmarks.catalogue $(RELEASE)
	@$(BIN)/python -m benchmarks.readme

references: $(INSTALLED)
	@$(BIN)/python -m benchmarks.references

wheel:
	@$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean:
	rm -rf .venv .venv-envpool .venv-d4rl .venv-d3rlpy demo-output build dist *.egg-info
