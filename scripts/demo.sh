#!/usr/bin/env bash
# From a bare checkout to a video of the demo speaker: bash scripts/demo.sh [SOUND [test.py options]]
# Needs Python 3.10 to 3.12 and nothing else of the system. Writes results/demo/SOUND.mp4.
set -euo pipefail
cd "$(dirname "$0")/.."

python="${PYTHON:-python3}"
venv="${VENV:-.venv}"
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --upgrade pip
"$venv/bin/python" -m pip install --quiet -r requirements.txt

if [ $# -eq 0 ]; then
    set -- examples/speech.wav --words examples/speech.csv
fi
exec "$venv/bin/python" test.py --name demo --audio "$@"
