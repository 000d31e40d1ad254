#!/usr/bin/env bash
# From nothing to a trained synthetic speaker: recordings, clips, gestures, motion, renderer, reports.
#
#   bash scripts/train_demo.sh [NAME] [MINUTES]       # my_demo, 8 minutes of speech
#
# Continues where it was stopped. POSE, VIDEO, JOBS and PYTHON are those of scripts/train_speaker.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
name=${1:-my_demo} minutes=${2:-8}
source=datasets/${name}_source

"$python" scripts/make_demo_speaker.py --output "$source" --minutes "$minutes" --jobs "${JOBS:-$(nproc)}"
bash scripts/train_speaker.sh "$source/recordings" "$name"
"$python" scripts/evaluate.py motion --name "$name" --ground_truth "$source/ground_truth" \
    --output "results/$name/motion_ground_truth"
