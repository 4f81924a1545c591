#!/usr/bin/env bash
# Races `conjoint bench` against the published loop in PyTorch (bench/reference.py): same weights, prompts,
# schedules and threads, greedy, one round of each in turn. Prints a table and writes race.json.
#
#   bench/race.sh [ROUNDS]        5 rounds by default, which take about 80 s each on two cores
#
#   RACE      folder for the Python environment, the model and the rounds   (target/race)
#   SIZES     of the random model: D,LAYERS,FFN,HEADS,KV,VOCAB              (512,12,1408,8,2,32768)
#   THREADS   of both                                                      (2)
#   K         tokens per step of marginal and joint                        (4,8)
#   CONJOINT  the command                                                  (built if not given)
#
# Rounds that are there already count too: remove $RACE/rounds to begin anew.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
race=${RACE:-target/race}
threads=${THREADS:-2}
mkdir -p "$race/rounds"

. bench/setup.sh
race_python torch numpy safetensors
race_conjoint
race_model "${SIZES:-512,12,1408,8,2,32768}"

first=$(($(find "$race/rounds" -name '*.reference.json' | wc -l) + 1))
for round in $(seq "$first" $((first + rounds - 1))); do
    "$CONJOINT" bench --model "$race/model" --threads "$threads" --temperature 0 \
        --strategies exact,marginal,joint --k "${K:-4,8}" --repeats 1 \
        --json "$race/rounds/$round.conjoint.json" >/dev/null
    "$race/venv/bin/python" bench/reference.py --model "$race/model" \
        --like "$race/rounds/$round.conjoint.json" --json "$race/rounds/$round.reference.json"
    echo "round $round of $((first + rounds - 1))" >&2
done
"$race/venv/bin/python" bench/compare.py "$race/rounds" "$race/race.json"
