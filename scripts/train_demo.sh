#!/usr/bin/env bash
# From nothing to a trained synthetic speaker: speech of many voices, phonetic features, recordings,
# clips, gestures, motion, renderer, reports.
#
#   bash scripts/train_demo.sh [NAME] [MINUTES] [SPEECH_MINUTES]     # my_demo, 8 of video, 80 of speech
#
# Continues where it was stopped. POSE, VIDEO, JOBS and PYTHON are those of scripts/train_speaker.sh;
# PHONETIC adds options to the training of the phonetic features.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
name=${1:-my_demo} minutes=${2:-8} speech_minutes=${3:-80}
source=datasets/${name}_source speech=datasets/${name}_speech
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# shellcheck disable=SC2206  # options are split at blanks
phonetic=(${PHONETIC:-})

"$python" scripts/make_demo_speech.py --output "$speech" --minutes "$speech_minutes" --seed 1 \
    --jobs "${JOBS:-$(nproc)}"
OMP_NUM_THREADS=$(nproc) "$python" scripts/train_phonetic.py --dataset "$speech" --name "$name" \
    --jobs "${JOBS:-$(nproc)}" "${phonetic[@]}"
"$python" scripts/make_demo_speaker.py --output "$source" --minutes "$minutes" --jobs "${JOBS:-$(nproc)}"
# exact poses of many voices, every twentieth clip held out, in place of the recordings' few
held_out=$(cd "$speech" && printf '%s ' [0-9]*[13579]9/ | tr -d /)
if [ "$held_out" = "[0-9]*[13579]9 " ]; then held_out=; fi
POSE="--dataset $speech --features phonetic:checkpoints/$name/phonetic --smooth 1 --steps 1800
    --batch_size 12 --num_augmentations 2 --dropout 0.1 --poses_like datasets/$name ${held_out:+--held_out $held_out} ${POSE:-}" \
    bash scripts/train_speaker.sh "$source/recordings" "$name"
"$python" scripts/evaluate.py motion --name "$name" --output "results/$name/motion_ground_truth" \
    --dataset "datasets/$name" --ground_truth "$source/ground_truth"
