#!/bin/bash
#SBATCH --job-name=conjoint
#SBATCH --array=1-64
#SBATCH --cpus-per-task=8
#SBATCH --mem=16G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --output=logs/%A-%a.log
# Answers a file of prompts in as many parts as the array has tasks:
#
#     mkdir -p logs && sbatch scale/slurm.sh MODEL_DIR prompts.jsonl replies --gen-length 256 --unmasker joint:window=3 --schedule per-step:4
#     cat replies/*.jsonl > replies.jsonl      # once all tasks are done: the bytes of one run
#
# A task that is interrupted or requeued continues its part.
set -euo pipefail

model=$1 prompts=$2 folder=$3
shift 3
mkdir -p "$folder"
part=$(printf '%s/%05d.jsonl' "$folder" "$SLURM_ARRAY_TASK_ID")
exec conjoint generate --model "$model" --prompts "$prompts" --threads "$SLURM_CPUS_PER_TASK" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_MAX" --out "$part" "$@"
