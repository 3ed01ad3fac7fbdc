# Every target sets itself up: `make demo` works on a machine that has only Python 3.10+ and a package index.
.PHONY: help setup demo lab test export clean-nbs readme check-sync docs
.DEFAULT_GOAL := help
bin := .venv/bin

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null || grep '##' Makefile

setup: ## make .venv and install everything (instant when nothing changed)
	@sh scripts/setup.sh

demo: setup ## distil the packaged MiniLM teacher into two students on the built-in intents task, and compare them
	@$(bin)/kd-nb run --task mini-intents --teacher minilm --student cut,bag --augment crossover --name demo
	@$(bin)/kd-nb speed runs/demo

# The environment's own kernel, whatever kernels the user has elsewhere; only this machine can reach it.
lab: setup ## open the notebooks in JupyterLab, on 127.0.0.1
	@cd nbs && JUPYTER_PREFER_ENV_PATH=1 ../$(bin)/jupyter lab --ip=127.0.0.1 $(if $(filter 0,$(shell id -u)),--allow-root)

# One thread a worker: two workers with all threads each are several times slower than two with one.
test: setup ## run the notebooks and tests/
	OMP_NUM_THREADS=1 $(bin)/python -m pytest -n 2 --dist worksteal tests

export: setup ## write kd_nb/*.py from the notebooks
	@$(bin)/nbdev_export

clean-nbs: setup ## strip the notebooks of what changes without a reason (outputs stay)
	@$(bin)/nbdev_clean

readme: setup ## write README.md from nbs/index.ipynb
	@$(bin)/python scripts/make_readme.py

check-sync: setup ## do notebooks, modules and README.md agree? changes nothing
	@bash scripts/check_sync.sh

# README.md is written first, so that nbdev finds it newer than the notebook and leaves it alone.
docs: readme ## build the site into _docs (needs quarto)
	@command -v quarto >/dev/null || { echo "make docs needs quarto: https://quarto.org/docs/get-started" >&2; exit 1; }
	$(bin)/nbdev_docs
