#!/usr/bin/env bash
# Install into .venv and make a video of the demo speaker: bash scripts/demo.sh [AUDIO [test.py options]]
# Needs Python 3.10 to 3.13 and no other software. Writes results/demo/AUDIO.mp4.
set -euo pipefail
cd "$(dirname "$0")/.."

bash scripts/install.sh
if [ $# -eq 0 ]; then
    set -- examples/speech.wav --words examples/speech.csv
fi
exec "${VENV:-.venv}/bin/python" test.py --name demo --audio "$@"
