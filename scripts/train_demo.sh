#!/usr/bin/env bash
# From nothing to a trained synthetic speaker: speech of many voices, phonetic features, recordings
# with exact poses, gestures, motion, renderer with an 8-bit graph, reports.
#
#   bash scripts/train_demo.sh [NAME] [MINUTES] [SPEECH_MINUTES]     # my_demo, 8 of video, 80 of speech
#
# Continues where it was stopped. The result is results/NAME/checkpoint. PRESENTER=man trains a man.
# JOBS and PYTHON are those of scripts/train_speaker.sh; PHONETIC, POSE and VIDEO add options to the
# trainings.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
name=${1:-my_demo} minutes=${2:-8} speech_minutes=${3:-80}
source=datasets/${name}_source speech=datasets/${name}_speech results=results/$name
clips=$source/ground_truth jobs=${JOBS:-$(nproc)}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# shellcheck disable=SC2206  # options are split at blanks
phonetic=(${PHONETIC:-}) pose=(${POSE:-}) video=(${VIDEO:-})

held_out() { # "--held_out" and the named clips that are there, of a dataset
    local dataset=$1 found=() clip
    shift
    for clip in "$@"; do
        if [ -d "$dataset/$clip" ]; then found+=("$clip"); fi
    done
    if [ ${#found[@]} -gt 0 ]; then echo --held_out "${found[@]}"; fi
}

"$python" scripts/make_demo_speech.py --output "$speech" --minutes "$speech_minutes" --seed 1 --jobs "$jobs"
OMP_NUM_THREADS=$(nproc) "$python" scripts/train_phonetic.py --dataset "$speech" --name "$name" \
    --jobs "$jobs" "${phonetic[@]}"
"$python" scripts/make_demo_speaker.py --output "$source" --minutes "$minutes" --seconds 30 --seed 1 \
    --presenter "${PRESENTER:-woman}" --jobs "$jobs"
if [ ! -f "$source/gestures/dictionary.json" ]; then
    "$python" scripts/build_dictionary.py --dataset "$clips" --output "$source/gestures"
fi
# every twentieth clip of speech is held out, and the ninth and tenth recording
# shellcheck disable=SC2046  # options are split at blanks
"$python" train_audio2pose.py --dataset "$speech" --name "$name" --gestures "$source/gestures" \
    --features "phonetic:checkpoints/$name/phonetic" --smooth 1 --steps 1800 --batch_size 12 \
    --num_augmentations 2 --dropout 0.1 \
    $(held_out "$speech" 0019 0039 0059 0079 0099 0119 0139 0159) "${pose[@]}"
# shellcheck disable=SC2046
OMP_NUM_THREADS=$(nproc) "$python" train_pose2video.py --dataset "$clips" --name "$name" \
    $(held_out "$clips" 008 009) --width 512 --height 512 --steps 14000 --batch_size 2 --lr 1.5e-3 \
    --crop_size 224 --crop_epochs 1000 --epoch_items 400 --seq_grow_start 63 --max_seq_len 2 \
    --shift 0.03 --scale 0 --map_noise 0.2 --weights perceptual=0 \
    --discriminators frame head left_hand right_hand mouth eyes --gan_start 0.65 --ndf 16 \
    --part_size 96 --cache 9 --validate_every 7000 "${video[@]}"
"$python" scripts/evaluate.py motion --name "$name" --gestures "$source/gestures" \
    --output "$results/motion" --dataset "$clips"
"$python" scripts/evaluate.py video --name "$name" --output "$results/video"
"$python" scripts/evaluate.py speech --name "$name" --output "$results/speech"
for kind in audio2pose pose2video; do
    graph=()
    if [ $kind = pose2video ]; then graph=(--engine); fi
    "$python" scripts/export_checkpoint.py --name "$name" --kind $kind --output "$results/checkpoint" "${graph[@]}"
done
cp -R "$source/gestures" "$results/checkpoint/"
