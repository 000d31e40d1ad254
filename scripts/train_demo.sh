#!/usr/bin/env bash
# From nothing to a synthetic speaker who moves to speech: recordings, clips, gestures, training.
#
#   bash scripts/train_demo.sh [MINUTES] [STEPS]
#
# Every step goes on where it was stopped. With your own recordings in a folder, leave out the first
# step and give that folder to the second: that is the recipe for a real person.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
minutes=${1:-8} steps=${2:-4000}
name=demo data=datasets/demo jobs=${JOBS:-$(nproc)}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

"$python" scripts/make_demo_speaker.py --output "$data" --minutes "$minutes" --jobs "$jobs"
"$python" scripts/preprocess.py --input "$data/recordings" --transcripts "$data/recordings" \
    --output "$data/clips" --jobs "$jobs"
if [ ! -f "$data/gestures/dictionary.json" ]; then
    "$python" scripts/build_dictionary.py --dataset "$data/clips" --output "$data/gestures"
fi
"$python" train_audio2pose.py --dataset "$data/clips" --name "$name" --steps "$steps" \
    --gestures "$data/gestures"
"$python" scripts/evaluate.py motion --name "$name" --truth "$data/truth" \
    --gestures "$data/gestures" --output "results/$name/motion"
