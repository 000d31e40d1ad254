#!/usr/bin/env bash
# Install into .venv; PYTHON (python3) and VENV (.venv) choose another interpreter and folder.
exec "${PYTHON:-python3}" "$(dirname "$0")/install.py"
