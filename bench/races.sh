#!/usr/bin/env bash
# Races `conjoint bench` against llama.cpp and against Fast-dLLM's loop in PyTorch: same weights, prompts and threads,
# greedy. Makes what is needed, then runs bench/races.py. Prints a table and writes races.json.
#
#   bench/races.sh [--rounds N] [--steps N] [--gen-length N] …    `bench/races.py --help` lists all arguments
#
#   RACE      folder for the Python environment, llama.cpp, the models and the rounds   (target/races)
#   SIZES     of the random model: D,LAYERS,FFN,HEADS,KV,VOCAB                         (512,12,1408,8,2,32768)
#   CONJOINT  the command                                                             (built if not given)
#   INT8      kind of the 8-bit export, for `conjoint export --quantize`              (int8)
#
# The shape of a 0.5 B model, which takes 8 GB on disk, and about half an hour a round on two cores:
#
#   RACE=target/races-half SIZES=896,24,4864,14,2,151936 bench/races.sh --prompt-length 128 --gen-length 256 --steps 16
#
# Rounds that are there already count too: remove $RACE/rounds to begin anew.
set -euo pipefail
cd "$(dirname "$0")/.."
race=${RACE:-target/races}
mkdir -p "$race"

. bench/setup.sh
race_python torch numpy safetensors gguf cmake ninja
race_conjoint
race_model "${SIZES:-512,12,1408,8,2,32768}"
if ! [ -d "$race/int8" ]; then
    "$CONJOINT" export "$race/model" --sampler "$race/model" --quantize "${INT8:-int8}" --out "$race/int8"
fi
loop=$(bench/llama/build.sh "$race/llama" "$race/venv/bin/python")
[ -e "$race/f32.gguf" ] || "$race/venv/bin/python" bench/llama/to_gguf.py "$race/model" "$race/f32.gguf"
for kind in q8_0 q4_0; do
    if ! [ -e "$race/$kind.gguf" ]; then
        "$loop" --quantize "$race/f32.gguf" "$race/$kind.gguf.tmp" $kind
        mv "$race/$kind.gguf.tmp" "$race/$kind.gguf"
    fi
done
"$race/venv/bin/python" bench/races.py --race "$race" --conjoint "$CONJOINT" --llama "$loop" "$@"
