#!/usr/bin/env bash
# From recordings of one person to a trained speaker:
#
#   bash scripts/train_speaker.sh VIDEO_FOLDER NAME [HELD_OUT_RECORDING ...]
#
# docs/train_your_own.md explains the steps. Each continues where it was stopped: run the same
# command again. Variables add options to a step:
#
#   PREPROCESS="--transcripts talks/"  POSE="--pretrained demo --hours 1"
#   VIDEO="--width 512 --height 512 --hours 8"  JOBS=4  bash scripts/train_speaker.sh talks/ anna
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
videos=$(cd "$1" && pwd) name=$2
shift 2
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
data=datasets/$name results=results/$name
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
held_out=()
if [ $# -gt 0 ]; then held_out=(--held_out "$@"); fi
# shellcheck disable=SC2206  # options are split at blanks
preprocess=(${PREPROCESS:-}) pose=(${POSE:-}) video=(${VIDEO:-})

"$python" scripts/preprocess.py --input "$videos" --output "$data" --jobs "${JOBS:-$(nproc)}" \
    "${preprocess[@]}"
gestures=()
if [ -f "$data/gestures/dictionary.json" ] ||
    "$python" scripts/build_dictionary.py --dataset "$data" --output "$data/gestures"; then
    gestures=(--gestures "$data/gestures")
fi
"$python" train_audio2pose.py --dataset "$data" --name "$name" "${held_out[@]}" "${gestures[@]}" \
    "${pose[@]}"
OMP_NUM_THREADS=$(nproc) "$python" train_pose2video.py --dataset "$data" --name "$name" \
    "${held_out[@]}" "${video[@]}"
"$python" scripts/evaluate.py motion --name "$name" "${gestures[@]}" --output "$results/motion"
"$python" scripts/evaluate.py video --name "$name" --output "$results/video"
"$python" scripts/evaluate.py speech --name "$name" --output "$results/speech"
