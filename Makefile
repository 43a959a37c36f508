# Everything below sets itself up: a virtual environment in .venv with the pinned set of constraints.txt.
#   make demo                      the main job on the virtual scanner: no download, no server, five to eight minutes
#   make demo DATA=FOLDER          the same on real cores (docs/how-to/sample-cores.md says what FOLDER holds)
#   make demo SAMPLES=1            the same on public cores, fetched by URL and hash
#   make ardley DATA=FOLDER        what each ingredient of a quantifier gives on a real core, half an hour
#   make test                      the tests, but for the long ones
#   make test-long                 those: kills, flips of bytes, planted defects, a second Python
#   make check                     all tests, lint, types, import contract: what .ci/run runs

PYTHON ?= python3
BIN := .venv/bin
DATA ?=
SAMPLES ?=

.PHONY: ardley demo test test-long lint types contract check docs bench clean

demo: .venv/ready
	$(BIN)/python -m training.demo $(if $(SAMPLES),--samples sample-cores,$(if $(DATA),--data $(DATA)))

ardley: .venv/ready
	rm -rf ardley
	$(BIN)/corebank init ardley/bank --site samples
	for name in ardley cd166 lagopato; do \
	  $(BIN)/corebank add ardley/bank $(DATA)/itrax-$$name --toml corebank/sample_cores/$$name.toml || exit 1; done
	MLFLOW_TRACKING_URI=sqlite:///ardley/mlflow.db $(BIN)/python -m training.pretrain training/recipes/ardley-pretrain.toml \
	  --catalog ardley/bank/catalog.yaml --out ardley/pretrain
	MLFLOW_TRACKING_URI=sqlite:///ardley/mlflow.db $(BIN)/python -m training.ingredients training/recipes/ardley-finetune.toml \
	  --catalog ardley/bank/catalog.yaml --from ardley/pretrain --out ardley/ingredients.csv \
	  --proxy Fe2O3 --proxy P2O5 --proxy SiO2 --proxy TiO2 --proxy Sr --proxy Zr --proxy TC --proxy CaO

test: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-long: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n auto --dist worksteal

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

contract: .venv/ready
	$(BIN)/lint-imports

check: test test-long lint types contract

docs: .venv/ready
	$(BIN)/python docs/make_reference.py

bench: .venv/ready
	$(BIN)/python -m pytest tests/bench --benchmark-enable --benchmark-only

clean:
	rm -rf .venv ardley demo runs dist build

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --group dev --editable ".[models,s3]"
	touch $@
