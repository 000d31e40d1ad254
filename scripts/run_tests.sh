#!/usr/bin/env bash
# Install into .venv and run lint, type checker and tests: bash scripts/run_tests.sh [pytest options]
#
#   bash scripts/run_tests.sh           # default tier: under 5 minutes on two cores
#   bash scripts/run_tests.sh --slow    # all tests
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/install.sh
bin="${VENV:-.venv}/bin"
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/basedpyright" --pythonpath "$bin/python"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" # pytest runs one process on each core
exec "$bin/python" -m pytest --numprocesses auto "$@"
