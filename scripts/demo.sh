#!/usr/bin/env bash
# Install into .venv and make a video of the demo speaker: bash scripts/demo.sh [AUDIO [test.py options]]
# PYTHON (python3) and VENV (.venv) choose another interpreter and folder.
exec "${PYTHON:-python3}" "$(dirname "$0")/demo.py" "$@"
