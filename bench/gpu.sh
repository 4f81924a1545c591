#!/usr/bin/env bash
# Measures strategies, caches and batches on an NVIDIA GPU. Prints Markdown tables and writes gpu/*.json.
#
#   bench/gpu.sh [cuda|tensorrt]      needs a driver, CUDA 12 and cuDNN 9, and pip
#
#   RACE      folder for the Python environment, the models and the reports    (target/gpu)
#   SIZES     of the random model: D,LAYERS,FFN,HEADS,KV,VOCAB                 (896,24,4864,14,2,151936)
#   LENGTHS   prompt and generated tokens                                      (128,256)
#   BATCHES   sequences in a forward                                           (1,8,32)
#   CONJOINT  the command                                                      (built if not given)
set -euo pipefail
cd "$(dirname "$0")/.."
provider=${1:-cuda}
race=${RACE:-target/gpu}
IFS=, read -r prompt generated <<<"${LENGTHS:-128,256}"
mkdir -p "$race"

if ! [ -e "$race/venv/ready" ]; then
    python3 -m venv "$race/venv"
    "$race/venv/bin/pip" install --quiet onnxruntime-gpu==1.31.1
    touch "$race/venv/ready"
fi
ORT_DYLIB_PATH=$(find "$PWD/$race/venv" -name 'libonnxruntime.so.*' | head -1)
export ORT_DYLIB_PATH
if [ -z "${CONJOINT:-}" ]; then
    cargo build --release -p conjoint-cli --features "$provider"
    CONJOINT=${CARGO_TARGET_DIR:-target}/release/conjoint
fi
if ! [ -d "$race/model" ]; then
    "$CONJOINT" bench --make-model "${SIZES:-896,24,4864,14,2,151936}" "$race/model"
    # Passes over rows, and the top-K head, of which a device copies less.
    "$CONJOINT" export "$race/model" --sampler "$race/model" --passes rows --head-top 64
fi

for batch in $(tr , ' ' <<<"${BATCHES:-1,8,32}"); do
    for cache in none prefix dual; do
        echo
        echo "batch $batch, cache $cache, $provider"
        echo
        "$CONJOINT" bench --model "$race/model" --provider "$provider" --temperature 0 \
            --strategies exact,marginal,joint --k 4,8 --cache "$cache" --block-length 32 \
            --prompt-length "$prompt" --gen-length "$generated" --batch-size "$batch" --num-samples "$batch" \
            --repeats 3 --json "$race/$provider-$batch-$cache.json"
    done
done
nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || true
