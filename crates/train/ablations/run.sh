#!/usr/bin/env bash
# Ablations of sampler training. Each variant differs from the baseline in one choice, with the same start, trajectories,
# seed and number of steps. Writes ablations.json and ablations.md.
#
#   crates/train/ablations/run.sh [VARIANT ...]   all variants by default; STEPS / 2 seconds each on two cores, and
#                                                 3 STEPS / 4 seconds for each of the last three
#
#   OUT           folder of the runs; interrupted runs resume                  (target/ablations)
#   MODEL         an exported base model                                       (models/tiny)
#   INIT          the layer that every run starts from, or "fresh" for a layer that starts as the identity, which
#                 needs thousands of steps                                     (MODEL/sampler.safetensors)
#   STEPS         steps of each run                                            (600)
#   TRAJECTORIES  a folder of `conjoint trajectories`                          (made if unset)
#   OWN           a folder of `conjoint trajectories --joint`, for own-trajectories (made with MODEL's layer if unset)
#   NUM           number of trajectories to make, from the domains' tags       (6000)
#   SAMPLES       texts per point                                              (512)
#   METRICS       figures of the texts                                         (right,parses,nll)
#   SEED          seed of weights and states                                   (0)
#   CONJOINT      the command                                                  (built if unset)
set -euo pipefail
cd "$(dirname "$0")/../../.."
out=${OUT:-target/ablations}
model=${MODEL:-models/tiny}
init=${INIT:-$model/sampler.safetensors}
steps=${STEPS:-600}
seed=${SEED:-0}
if [ -z "${CONJOINT:-}" ]; then
    cargo build --release -p conjoint-cli
    CONJOINT=${CARGO_TARGET_DIR:-target}/release/conjoint
fi
mkdir -p "$out"

seven=2,1.5,1.2,1,1,1,1
rates="--optimizer muon --rates linear --warmup 100 --beta2 0.98 --muon 5e-3 --adamw 3e-3"
published="--optimizer adamw --adamw 5e-5 --rates constant --warmup 250 --beta2 0.999"
window="--window 8 --window-share 0.5"
baseline="--depth-weights $seven --all-depths $window"
# The baseline compares all depths in each step and gives half the weight to a window.
declare -A variants=(
    [baseline]="$baseline $rates"
    [another-seed]="$baseline $rates"
    [one-depth]="--depth-weights $seven $window $rates"
    [three-passes]="--depth-weights 2,1.5,1.2 --all-depths $window $rates"
    [eleven-passes]="--depth-weights $seven,1,1,1,1 --all-depths $window $rates"
    [no-window]="--depth-weights $seven --all-depths $rates"
    [window-alone]="--depth-weights $seven --all-depths --window 8 --window-share 1 $rates"
    [lambda-teacher]="$baseline $rates --lambda-teacher 1"
    [lambda-start]="$baseline $rates --lambda-start 1"
    [temperature-2]="$baseline $rates --distil-temperature 2"
    [temperature-4]="$baseline $rates --distil-temperature 4"
    [reverse-kl]="$baseline $rates --divergence reverse-kl"
    [jensen-shannon]="$baseline $rates --divergence jensen-shannon"
    [total-variation]="$baseline $rates --divergence total-variation"
    [start-gain]="$baseline $rates --start-gain 1"
    [two-layers]="$baseline $rates --layers 2"
    [own-half]="$baseline $rates --own-share 0.5"
    [early]="$baseline $rates --early-power 2"
    [own-trajectories]="$baseline $rates"
    [random-masks]="$baseline $rates --random-share 1"
    [published-rates]="$baseline $published"
)
order=(baseline another-seed one-depth three-passes eleven-passes no-window window-alone lambda-teacher lambda-start
    temperature-2 temperature-4 reverse-kl jensen-shannon total-variation two-layers published-rates early
    own-trajectories own-half random-masks)
start=(--init "$init")
if [ "$init" = fresh ]; then
    # The gain of the last norm applies to fresh layers only.
    order=(start-gain "${order[@]}")
    start=()
fi
[ $# -gt 0 ] && order=("$@")
for name in "${order[@]}"; do
    [ -n "${variants[$name]:-}" ] || { echo "no variant $name; there are: ${!variants[*]}" >&2; exit 2; }
done

# The floor and the ceiling of the gap.
measure=(--num-samples "${SAMPLES:-512}" --batch-size 32 --metrics "${METRICS:-right,parses,nll}")
"$CONJOINT" eval --model "$model" --unmaskers exact,marginal --k 2,4,8 "${measure[@]}" --out "$out/ends"
if [ "$init" = "$model/sampler.safetensors" ]; then
    "$CONJOINT" eval --model "$model" --unmaskers joint --k 2,4,8 "${measure[@]}" --out "$out/start"
fi
trajectories() {
    printf '<%s>\n' story math code list >"$out/tags.txt"
    "$CONJOINT" trajectories --model "$model" --num "${NUM:-6000}" --length 48 --prompts "$out/tags.txt" "$@"
}
if [ -z "${TRAJECTORIES:-}" ]; then
    TRAJECTORIES=$out/trajectories
    trajectories --seed "$seed" --out "$TRAJECTORIES"
fi
for name in "${order[@]}"; do
    # These variants visit each state once, so that a cache on disk does not help.
    answers=(--answers "$out/answers" --cache-mib 6000)
    case $name in own-half | random-masks) answers=(--cache-mib 6000) ;; esac
    # Another seed with the same trajectories shows the variation by chance.
    own_seed=$seed
    [ "$name" = another-seed ] && own_seed=$((seed + 1))
    read -ra flags <<<"${variants[$name]}"
    if [ "$name" = own-trajectories ]; then
        [ -n "${OWN:-}" ] || { OWN=$out/own && trajectories --joint 8,4,3 --seed $((seed + 1)) --out "$OWN"; }
        flags+=(--trajectories-dir "$OWN")
    fi
    "$CONJOINT" train sampler --model "$model" --dir "$out/$name/run" --trajectories-dir "$TRAJECTORIES" \
        "${start[@]}" "${answers[@]}" --steps "$steps" --seed "$own_seed" --batch 24 "${flags[@]}"
    rm -rf "$out/$name/model"
    "$CONJOINT" export "$model" --sampler "$out/$name/run" --out "$out/$name/model"
    # Layers of different numbers of steps have separate folders of figures.
    "$CONJOINT" eval --model "$out/$name/model" --unmaskers joint --k 2,4,8 "${measure[@]}" --out "$out/$name/eval-$steps"
    python3 crates/train/ablations/table.py "$out" "$steps" "${order[@]}"
done
