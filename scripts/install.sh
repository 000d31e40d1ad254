#!/usr/bin/env bash
# Install speech2video and the locked versions of everything that it uses into a virtual environment.
#
#   bash scripts/install.sh        # PYTHON (python3) and VENV (.venv) choose another interpreter or folder
#
# Needs Python 3.10 to 3.13. Does nothing when the environment is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3}"
venv="${VENV:-.venv}"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
version=$("$venv/bin/python" -c 'import sys; print("py%d%d" % sys.version_info[:2])')
lock="requirements/$version.txt"
if [ ! -f "$lock" ]; then
    echo "$venv: Python 3.10 to 3.13 is needed, and $("$venv/bin/python" --version) was found; PYTHON=… names another" >&2
    exit 2
fi
if ! cmp --silent "$lock" "$venv/installed.txt"; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r "$lock"
    "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation -e .
    cp "$lock" "$venv/installed.txt"
fi
