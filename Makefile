# One command each; every target installs what it needs (make and git are enough on a fresh Debian 12).
SHELL := /bin/bash
PY := .venv/bin/python
export PYTHONPATH := $(CURDIR)/plugins:$(CURDIR)

.PHONY: help install demo stop test lint bench transition restore lock upgrade

help:  ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 14

install:  ## Install the system packages and the virtual environment that running needs
	@bin/bootstrap run

demo: install  ## Start a demonstration university and run the transition of Ecampus, with Airflow's UI
	@$(PY) -m demo.run

stop:  ## Stop the demonstration and all that it started
	@if [ -x $(PY) ]; then $(PY) -m demo.stop; fi

test:  ## Run the whole test suite, on a private MariaDB (ARGS="-k plan" to choose)
	@bin/bootstrap dev
	@$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint:  ## Check style and types
	@bin/bootstrap dev
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

bench:  ## Measure the campaign beside plain SQL on a platform built for it (BENCH_SCALE=large: 12 million rows; =curve: by size)
	@bin/bootstrap bench
	@$(PY) -m benchmarks.run

transition: install  ## Print a platform's plan, or carry it out: PLATFORM= YEAR= [COURSES="A,B"] [EXECUTE=1 APPROVED_BY= [EXCEED=]]
	@bin/transition

restore: install  ## Put a reset space back: PLATFORM= YEAR= CODE= [NAME=1] [ENROLMENTS=1] [CONFLICTS=skip|scratch] [ACTIVITY=] [STUDENT=]
	@bin/restore

lock:  ## Bring the locked requirements*.txt in line with requirements*.in
	@bin/bootstrap dev
	@bin/lock

upgrade:  ## Lock the newest versions that requirements*.in allow
	@bin/bootstrap dev
	@bin/lock --upgrade
