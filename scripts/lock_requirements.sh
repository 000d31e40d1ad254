#!/usr/bin/env bash
# Write requirements/py3XX.txt: exact versions and hashes for each supported Python.
#
#   bash scripts/lock_requirements.sh [uv pip compile options, such as --upgrade-package av]
#
# Versions that are locked stay unless an option upgrades them. Needs uv (pip install uv).
set -euo pipefail
cd "$(dirname "$0")/.."

for minor in 10 11 12 13; do
    uv pip compile pyproject.toml --quiet --universal --generate-hashes --no-header --no-annotate \
        --extra demo --extra dev --extra docs --extra evaluate --extra preprocess --extra render \
        --constraint requirements/constraints.txt --python-version "3.$minor" \
        --output-file "requirements/py3$minor.txt" "$@"
done
