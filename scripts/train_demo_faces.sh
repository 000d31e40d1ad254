#!/usr/bin/env bash
# From nothing to the demo faces: clips of synthetic people, speech of more voices, one straight
# training, report, checkpoint.
#
#   bash scripts/train_demo_faces.sh [NAME] [SENTENCES]     # my_faces, 40 sentences of each of 24 people
#
# Continues where it was stopped. The result is results/NAME/checkpoint. JOBS and PYTHON are those of
# scripts/train_speaker.sh; PROCESSES share each training step (1, 2, 4 …: the result is the same but
# for rounding); FACES adds options to the training, EVALUATION to the evaluation.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
name=${1:-my_faces} sentences=${2:-40}
dataset=datasets/$name speech=datasets/${name}_speech results=results/$name jobs=${JOBS:-$(nproc)}
threads=${OMP_NUM_THREADS:-$(nproc)} processes=${PROCESSES:-1}
export OMP_NUM_THREADS=$threads
# shellcheck disable=SC2206  # options are split at blanks
faces=(${FACES:-}) evaluation=(${EVALUATION:-})

OMP_NUM_THREADS=1 "$python" scripts/make_demo_faces.py --output "$dataset" --sentences "$sentences" \
    --seed 0 --jobs "$jobs"
"$python" scripts/make_demo_speech.py --output "$speech" --minutes 40 --seed 1 --jobs "$jobs"
OMP_NUM_THREADS=$((threads > processes ? threads / processes : 1)) \
    "$python" -m torch.distributed.run --nproc_per_node "$processes" \
    train_speech2face.py --dataset "$dataset" --lip_dataset "$speech" --name "$name" --seed 0 \
    --batch_size 32 --num_augmentations 2 --steps 5800 --stage_steps 400 1000 1300 3100 \
    --lip_scale 1.6 --save_every 200 --keep 2 --validate_every 2000 "${faces[@]}"
"$python" scripts/export_checkpoint.py --name "$name" --kind speech2face --output "$results/checkpoint"
"$python" scripts/evaluate.py face --name "$name" --dataset "$dataset" --clips 72 --frames 50 \
    --emotion_clips 16 --emotion_pairs 4 --study_clips 0 --output "$results/face" "${evaluation[@]}"
