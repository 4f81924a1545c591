"""Draws molecules with several strategies at several K, and judges them: one command for the whole table.

    python3 bench/molecules/run.py --molecules runs/molecules --model MODEL --out runs/drawn --num 10000 --seeds 0,1,2
    python3 bench/molecules/run.py --molecules runs/molecules --model MODEL --out runs/linkers --task linker --num 1000

Each seed has requests of its own, which all strategies share: the same lengths, or the same holes. `exact` reveals one token per forward.
Strategies with --k reveal K. Without --task, requests are new molecules (prompts.py).

A repeated command resumes: `conjoint generate` continues a file, and judge.py does not measure the same strings again. Files in --out:
requests (SEED.jsonl), replies (STRATEGY-K-SEED.jsonl), judged.json, and the plot of properties, properties.svg.
"""

import argparse
import pathlib
import subprocess
import sys

import judge

HERE = pathlib.Path(__file__).parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="folder of the exported model")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the requests, the replies and the results")
    parser.add_argument("--molecules", type=pathlib.Path, default="runs/molecules", help="folder of fetch.py")
    parser.add_argument("--conjoint", default="target/release/conjoint", help="the command")
    parser.add_argument("--strategies", default="exact,marginal,joint:window=3", help="unmaskers of `conjoint generate`, separated by commas")
    parser.add_argument("--k", default="2,4,8", help="tokens per forward, separated by commas; not for exact")
    parser.add_argument("--task", choices=["scaffold", "linker"], help="fill holes in test molecules instead of drawing new ones")
    parser.add_argument("--canvas", type=judge.positive, metavar="N", help="requests of N masks, for models that end a string by themselves")
    parser.add_argument("--temperature", type=float, default=1.0, help="temperature of all draws")
    parser.add_argument("--top-p", type=float, default=1.0, help="draw from the most probable tokens that reach this probability")
    parser.add_argument("--block-length", type=judge.positive, help="decode in blocks of this many tokens [default: one block]")
    parser.add_argument("--num", type=judge.positive, default=10000, help="number of requests of each seed")
    parser.add_argument("--num-samples", type=judge.positive, default=8, help="with --task: samples of each request")
    parser.add_argument("--seeds", default="0", help="seeds, separated by commas")
    parser.add_argument("--batch-size", type=judge.positive, default=64, help="sequences in a batch")
    parser.add_argument("--threads", type=judge.positive, help="threads of ONNX Runtime [default: all]")
    parser.add_argument("--jobs", type=judge.positive, default=1, help="processes for RDKit")
    return parser.parse_args()


def run(*command):
    code = subprocess.run([str(part) for part in command]).returncode
    if code:
        sys.exit(code)


def script(name, *rest):
    run(sys.executable, HERE / name, *rest)


def generate(chosen, requests, strategy, k, out):
    command = [chosen.conjoint, "generate", "--model", chosen.model, "--prompts", requests, "--out", out, "--unmasker", strategy]
    command += ["--batch-size", chosen.batch_size]
    if k > 1:
        command += ["--schedule", f"per-step:{k}"]
    if chosen.temperature != 1:
        command += ["--temperature", chosen.temperature]
    if chosen.top_p != 1:
        command += ["--top-p", chosen.top_p]
    if chosen.canvas:
        command.append("--stop-at-eos")
    if chosen.block_length:
        command += ["--block-length", chosen.block_length]
    if chosen.task:
        command += ["--num-samples", chosen.num_samples]
    if chosen.threads:
        command += ["--threads", chosen.threads]
    run(*command)


def main():
    chosen = arguments()
    seeds = chosen.seeds.split(",")
    if chosen.task and len(seeds) > 1:
        sys.exit(f"invalid value {chosen.seeds} for --seeds: --task has the holes of one seed")
    if chosen.task and chosen.canvas:
        sys.exit("--canvas is not for --task")
    chosen.out.mkdir(parents=True, exist_ok=True)
    ks = [int(k) for k in chosen.k.split(",")]
    points = [(strategy, k) for strategy in chosen.strategies.split(",") for k in ([1] if strategy == "exact" else ks)]
    replies = {point: [] for point in points}
    for seed in seeds:
        requests = chosen.out / f"{seed}.jsonl"
        kind = ["--task", chosen.task] if chosen.task else ["--canvas", chosen.canvas] if chosen.canvas else []
        script("prompts.py", chosen.molecules, "--num", chosen.num, "--seed", seed, *kind, "--out", requests)
        for strategy, k in points:
            cool = "" if chosen.temperature == 1 else f"-t{chosen.temperature:g}"
            nucleus = "" if chosen.top_p == 1 else f"-p{chosen.top_p:g}"
            out = chosen.out / f"{strategy.replace(':', '-')}-{k}-{seed}{cool}{nucleus}.jsonl"
            generate(chosen, requests, strategy, k, out)
            replies[strategy, k].append(out)
    # A name ends at the first equals sign.
    assigned = [f"{strategy.replace('=', ' ')} K {k}={','.join(map(str, files))}" for (strategy, k), files in replies.items()]
    if chosen.task:
        answers = chosen.out / f"{seeds[0]}.answers.jsonl"
        script("judge.py", "--molecules", chosen.molecules, "--task", answers, *assigned)
    else:
        results = ["--json", chosen.out / "judged.json", "--plot", chosen.out / "properties.svg", "--jobs", chosen.jobs]
        script("judge.py", "--molecules", chosen.molecules, *results, *assigned)


if __name__ == "__main__":
    main()
