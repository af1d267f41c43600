# The person's interface: `make` alone prints the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:

export TF_CPP_MIN_LOG_LEVEL ?= 3
export MPLBACKEND ?= Agg
export PYTHONUNBUFFERED := 1

REPORTS   := $(patsubst %/train.py,%,$(wildcard */train.py))
TRAIN     := $(REPORTS:%=train-%)
REPRODUCE := $(patsubst %/reproduce.py,reproduce-%,$(wildcard $(REPORTS:=/reproduce.py)))
COMPARE   := $(patsubst %/experiments/regularisation.py,compare-%,$(wildcard $(REPORTS:=/experiments/regularisation.py)))
STUDY     := $(patsubst %/experiments/study.py,study-%,$(wildcard $(REPORTS:=/experiments/study.py)))
PRETEXT   := $(patsubst %/experiments/pretext.py,pretext-%,$(wildcard $(REPORTS:=/experiments/pretext.py)))
SURVEY    := $(patsubst %/survey.py,survey-%,$(wildcard $(REPORTS:=/survey.py)))
EACH      := $(TRAIN) $(REPRODUCE) $(COMPARE) $(STUDY) $(PRETEXT) $(SURVEY)

.PHONY: setup data eval colorize survey-results bench test test-slow test-avx2 test-lowest lint clean
.PHONY: help FORCE $(EACH)

# NAME=value on make's command line becomes --name=value of the Python command. The value goes
# through the environment, unexpanded: blanks, quotes, dollars and accents arrive as typed.
VARIABLES := DATA CONFIG EMBEDDING EMBEDDING_WEIGHTS EPOCHS STEPS BATCH PRECISION RUN SEED \
             MODEL IN OUT SPLIT SPLIT_BY SIZE CUT OVERWRITE MAX_MEGAPIXELS \
             BINS REBALANCE EMBED_VIEWS VGG16_WEIGHTS MOBILENET_V2_WEIGHTS LPIPS_WEIGHTS \
             RESNET18_WEIGHTS DENSENET_WEIGHTS AGAINST PREDICTIONS PRESET METRICS PERCEPTUAL \
             CLASSIFIER CLASSIFIER_WEIGHTS INCEPTION_V3_WEIGHTS \
             COLORIZER_EPOCHS LABELS SEEDS RECOLOURED ORIGINALS KEY
SWITCHES  := OVERWRITE BINS REBALANCE EMBED_VIEWS
GIVEN     := $(foreach name,$(VARIABLES),$(if $(findstring command,$(origin $(name))),$(name)))
$(foreach name,$(GIVEN),$(eval override export $(name) := $$(value $(name))))

# $(call run,module): the module, with the given variables as its flags; NAME=1 sets a switch.
run = set --; for name in $(GIVEN); do \
	flag=--$$(printf %s "$$name" | tr A-Z_ a-z-); \
	case " $(SWITCHES) " in *" $$name "*) switch=1 ;; *) switch= ;; esac; \
	case "$$switch=$${!name}" in \
	  *= | 1=0) ;; \
	  1=*) set -- "$$@" "$$flag" ;; \
	  *) set -- "$$@" "$$flag=$${!name}" ;; \
	esac; done; \
	exec .venv/bin/python -m common.commands.quietly $(1) "$$@"

# An error, before anything is set up, unless the variable is given.
need-%:
	@$(if $(filter $*,$(GIVEN)),,$(error $*= is missing: make $(firstword $(MAKECMDGOALS)) $*=folder)):

## Usage: make TARGET [NAME=value ...]
##
help:
	@awk -v each="$(EACH)" ' \
	  function line(name, text) { printf "  %-26s %s\n", name, text } \
	  /^##( |$$)/ { print substr($$0, 4) } \
	  /^[a-z0-9%-]+:.* ## / { \
	    name = $$1; sub(/:.*/, "", name); text = $$0; sub(/.* ## /, "", text); \
	    if (!sub(/%/, "", name)) { line(name, text); next } \
	    n = split(each, all, " "); \
	    for (i = 1; i <= n; i++) if (index(all[i], name) == 1) line(all[i], text) }' \
	  $(firstword $(MAKEFILE_LIST))

setup: .venv/ready ## make .venv (GPU=1: with CUDA; HEADLESS=1: OpenCV without windows)
	@echo "set-up: .venv is ready$(OPTIONS:%=, %)"

data: .venv/ready ## DATA= to shards and embeddings in data/tfrecords
	@$(call run,common.commands.prepare)

train-%: ## train, export to models/ and evaluate, all from nothing
	$(error There is no report "$*". There are: $(TRAIN))

$(TRAIN): train-%: .venv/ready
	@$(call run,$*.train)

reproduce-%: ## run the recipes behind the results, print the report's figures beside
	$(error No results are kept for "$*". There are: $(REPRODUCE))

$(REPRODUCE): reproduce-%: .venv/ready
	@$(call run,$*.reproduce)

compare-%: ## train both sides of a report's claim and compare them
	$(error There is no comparison of "$*". There are: $(COMPARE))

$(COMPARE): compare-%: .venv/ready
	@$(call run,$*.experiments.regularisation)

study-%: ## every network of a report under one protocol: reports/study
	$(error There is no study of "$*". There are: $(STUDY))

$(STUDY): study-%: .venv/ready
	@$(call run,$*.experiments.study)

pretext-%: ## what colorization teaches an encoder about classes: reports/pretext
	$(error There is no pretext task of "$*". There are: $(PRETEXT))

$(PRETEXT): pretext-%: .venv/ready
	@$(call run,$*.experiments.pretext)

survey-%: ## write a page that asks people which pictures are recoloured
	$(error There is no survey of "$*". There are: $(SURVEY))

$(SURVEY): survey-%: .venv/ready
	@$(call run,$*.survey)

survey-results: need-IN .venv/ready ## what people took for real: IN=, a folder of their files
	@$(call run,common.commands.survey_results)

eval: .venv/ready ## measure models/*.h5, or MODEL=, on the test split: reports/eval
	@$(call run,common.commands.evaluate)

colorize: need-IN .venv/ready ## colour a photo or a folder: IN=, OUT=, MODEL=
	@$(call run,common.commands.colorize)

bench: .venv/ready ## measure speed and memory (see benchmarks/README.md)
	@$(call run,benchmarks.bench)

# A process a core, each of one thread (tests/conftest.py); a test goes to whichever is free.
PYTEST := -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal

test: .venv/ready ## run the tests, except those marked slow
	@.venv/bin/python $(PYTEST)

test-slow: .venv/ready ## run the tests marked slow
	@.venv/bin/python $(PYTEST) -m slow

test-avx2: export ONEDNN_MAX_CPU_ISA := AVX2
test-avx2: export XLA_FLAGS := --xla_cpu_max_isa=AVX2
test-avx2: export PRECISION := float32
test-avx2: .venv/ready ## run them all as on a processor with AVX2 and float32 alone
	@.venv/bin/python $(PYTEST) -m "slow or not slow"

test-lowest: .venv-lowest/ready ## run the tests on the oldest versions of requirements.txt
	@.venv-lowest/bin/python $(PYTEST)

lint: .venv/ready ## check the code's style
	@.venv/bin/python -m ruff check .

clean: ## remove the environments and caches; data, models, runs and reports stay
	@rm -rf .venv .venv-lowest .pytest_cache .ruff_cache build *.egg-info
	@find . -name __pycache__ -not -path './data/*' -prune -exec rm -rf {} +

##
## Variables, for the targets that know them (`.venv/bin/python -m koala.train --help` tells):
##   DATA=              a folder of pictures, or a name in data/sources.toml
##   CONFIG=            a report's configuration
##   EMBEDDING=         inception_resnet_v2 or mobilenet_v2
##   EMBEDDING_WEIGHTS= auto, imagenet, random or a file
##   VGG16_WEIGHTS= MOBILENET_V2_WEIGHTS= RESNET18_WEIGHTS= DENSENET_WEIGHTS=  the same, of a
##                      pretrained encoder or of the features of a loss
##   LPIPS_WEIGHTS=     auto, none, or a folder with torchvision's network and LPIPS's own weights
##   EPOCHS= STEPS= BATCH= SIZE= PRECISION= RUN= SEED=
##   BINS=1 REBALANCE=1 EMBED_VIEWS=1      options of training (README.md)
##   PRESET=            a named protocol of eval: imagenet-val5k-256, cifar10, folder, ...
##   PREDICTIONS=       a folder of pictures that another system made, or name=folder
##   METRICS=           all, or some of lpips,fid,kid,frechet,kernel,top1: those of networks
##   CLASSIFIER= CLASSIFIER_WEIGHTS= INCEPTION_V3_WEIGHTS= PERCEPTUAL=  these networks
##   AGAINST=           the row of eval's table to compare the others with
##   COLORIZER_EPOCHS= LABELS=1,10,100 (percent) SEEDS=  of the pretext task
##   RECOLOURED= ORIGINALS=  pictures of a survey; KEY=, the folder of its key.json
##   MODEL= IN= OUT= SPLIT= SPLIT_BY= OVERWRITE=1 MAX_MEGAPIXELS=

# --- Set-up -------------------------------------------------------------------------------------
# A stamp, written last, says that an environment is whole. Without "installed" in it, pip was
# interrupted, and what it left cannot be trusted: the environment is made anew. "options" keeps
# GPU=1 and HEADLESS=1 for every later set-up.

KEPT    := $(shell cat .venv/options 2>/dev/null)
OPTIONS := $(sort $(KEPT) $(if $(filter 1,$(GPU)),gpu) $(if $(filter 1,$(HEADLESS)),headless))
NEEDED  := requirements.txt requirements-test.txt $(OPTIONS:gpu=requirements-gpu.txt)
NEEDED  := $(filter %.txt,$(NEEDED))

.venv/ready: $(NEEDED) requirements.lock $(if $(filter-out $(KEPT),$(OPTIONS)),FORCE)
	@$(call set-up,.venv,$(NEEDED),--constraint requirements.lock)

.venv-lowest/ready: requirements-lowest.txt
	@$(call set-up,.venv-lowest,$<,)

# $(call set-up,folder,requirements files,pip's further arguments)
define set-up
set -euo pipefail; venv=$(1); pip="$$venv/bin/python -m pip --disable-pip-version-check"; \
say() { echo "set-up: $$*"; }; \
fail() { echo "error: $$*" >&2; exit 2; }; \
if ! [ -e $$venv/installed ] || ! $$venv/bin/python -c '' 2>/dev/null; then \
  for python in "$${PYTHON:-}" python3.11 python3.12 python3.13 python3 python ''; do \
    [ -n "$$python" ] || continue; \
    "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
      2>/dev/null && break; \
  done; \
  [ -n "$$python" ] || fail "no Python 3.11, 3.12 or 3.13 found; name one: make setup PYTHON=..."; \
  say "$$("$$python" --version), a virtual environment in $$venv"; \
  "$$python" -m venv --clear $$venv >/dev/null 2>&1 || \
    fail "$$python cannot make a virtual environment (Debian: apt install python3-venv)"; \
fi; \
rm -f $$venv/ready $$venv/installed; \
echo $(OPTIONS) >$$venv/options; \
cat $(2) >$$venv/requirements.txt; \
if [[ ' $(OPTIONS) ' == *' headless '* ]]; then \
  sed -i.bak 's/^opencv-python\([=>]\)/opencv-python-headless\1/' $$venv/requirements.txt; \
  $$pip uninstall --quiet --yes opencv-python >/dev/null 2>&1 || true; \
fi; \
say "installing packages, once (up to a gigabyte to download)"; \
$$pip install --no-input --progress-bar off -r $$venv/requirements.txt $(3) 2>$$venv/pip.log | \
  while read -r action file size; do case "$$action $$file $$size" in \
    *.metadata*) ;; \
    Downloading*MB*) say "  $${file%-*-*-*} $$size" ;; \
    Installing*) say "unpacking" ;; \
  esac; done || { \
    ! grep -Eq 'connection broken|timed out|versions: none|ResolutionImpossible' $$venv/pip.log || \
      fail "no package index answers, or it has nothing for this machine; check the network or" \
           "PIP_INDEX_URL, then repeat (pip's words are in $$venv/pip.log)"; \
    fail "pip could not install the packages (more in $$venv/pip.log):" \
         "$$(grep -m 1 ERROR $$venv/pip.log || true)"; }; \
touch $$venv/installed; \
words=$$($$venv/bin/python -c 'import cv2' 2>&1) || \
  fail "OpenCV misses a system library; make setup HEADLESS=1 takes a build that needs none" \
       "($$(tail -n 1 <<<"$$words"))"; \
touch $$venv/ready; say "done"
endef
