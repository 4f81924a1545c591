"""Measures what length costs: time per token over lengths and batches, batches of mixed lengths, and memory.

    python bench/lengths.py --conjoint target/release/conjoint --folder lengths --out docs/benchmarks-lengths.svg

Makes a model of random weights in --folder (D 128, 4 layers, vocabulary 4,096), unless it is there, and prints three
Markdown tables:

- Lengths: milliseconds per generated token for sequences of T positions, of which the last 32 are generated in one block,
  at K = 4, with and without the `dual` cache, with and without the sampler layer. --out is their plot.
- Mixed lengths: one batch of 16 sequences with lengths spread evenly from 64 to 1,024 positions, beside batches whose
  sequences all have the mean and all the largest length. Each computes its own rows if the first takes the time of the
  second.
- Memory: resident memory of one process over 1,000 requests of random lengths from 32 to 1,024 positions.

Takes about ten minutes. Requires matplotlib; memory is read from /proc, on Linux.
"""

import argparse
import json
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

SIZES = "128,4,352,4,2,4096"
BLOCK = 32
LINES = ["marginal@none", "marginal@dual", "joint@none", "joint@dual"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--conjoint", default="target/release/conjoint", help="the command")
    parser.add_argument("--folder", type=pathlib.Path, default="lengths", help="where the model is, or is made")
    parser.add_argument("--lengths", default="128,512,2048", help="T, separated by commas")
    parser.add_argument("--batches", default="1,8,32", help="sequences in a batch, separated by commas")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the mixed lengths")
    parser.add_argument("--requests", type=int, default=1000, help="requests of the measurement of memory")
    parser.add_argument("--only", choices=["lengths", "mixed", "memory"], help="one of the tables")
    parser.add_argument("--out", type=pathlib.Path, help="the plot, an SVG file")
    return parser.parse_args()


def make_model(arguments):
    """The folder of the exported model."""
    model = arguments.folder / "rows"
    if not (model / "conjoint.json").exists():
        weights = arguments.folder / "weights"
        run(arguments, "bench", "--make-model", SIZES, weights)
        run(arguments, "export", weights, "--sampler", weights, "--passes", "rows", "--out", model)
    return model


def run(arguments, *command):
    subprocess.run([arguments.conjoint, *map(str, command)], check=True, capture_output=True, text=True)


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|---" + "|--:" * (len(head) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print()


def lengths(arguments, model):
    """Milliseconds per generated token of every line: {(batch, line): [by length]}."""
    cost, shown = {}, []
    every = [int(length) for length in arguments.lengths.split(",")]
    for batch in map(int, arguments.batches.split(",")):
        for length in every:
            report = arguments.folder / "report.json"
            run(
                arguments, "bench", "--model", model, "--threads", arguments.threads, "--temperature", "0", "--k", "4",
                "--repeats", "1" if batch * length > 16384 else "3", "--block-length", BLOCK, "--gen-length", BLOCK,
                "--prompt-length", length - BLOCK, "--num-samples", batch, "--batch-size", batch,
                "--strategies", ",".join(LINES), "--json", report,
            )
            runs = json.loads(report.read_text())["runs"]
            times = [1000 * run["seconds"] / run["tokens"] for run in runs]
            for line, milliseconds in zip(LINES, times):
                cost.setdefault((batch, line), []).append(milliseconds)
            none, dual, joint, both = times
            passes = runs[3]["pass_per_forward"]
            figures = [f"{time:.2f}" for time in times]
            shown.append([batch, length, *figures, f"{none / dual:.1f}", f"{joint / both:.1f}", f"{passes:.3f}"])
    head = ["batch", "T", *(f"`{line}`, ms a token" for line in LINES), "none / dual", "joint: none / dual", "pass / forward"]
    table(head, shown)
    if arguments.out:
        plot(arguments.out, every, cost)


def plot(path, every, cost):
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "conjoint"
    import matplotlib.pyplot as plt

    batches = sorted({batch for batch, _ in cost})
    figure, panels = plt.subplots(1, len(batches), figsize=(3.4 * len(batches), 3.4), sharey=True, squeeze=False)
    styles = {"marginal@none": "C0o-", "marginal@dual": "C0o--", "joint@none": "C1s-", "joint@dual": "C1s--"}
    for panel, batch in zip(panels[0], batches):
        for line in LINES:
            panel.plot(every, cost[batch, line], styles[line], label=line, markersize=4)
        panel.set(xscale="log", yscale="log", xlabel="positions T", title=f"batch {batch}")
        panel.set_xticks(every, [str(length) for length in every])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0][0].set_ylabel("ms per generated token")
    panels[0][0].legend(fontsize=8)
    figure.tight_layout()
    temporary = path.with_suffix(".tmp.svg")
    figure.savefig(temporary, metadata={"Date": None})
    temporary.replace(path)


def requests(path, every, seed):
    """Writes requests that generate 32 tokens, each behind a random prompt: a request of T positions for every T."""
    draw = random.Random(seed)
    with open(path, "w") as file:
        for length in every:
            ids = [draw.randrange(4000) for _ in range(length - BLOCK)]
            file.write(json.dumps({"prompt_ids": ids, "gen_length": BLOCK}) + "\n")


def generate(arguments, model, prompts, replies, batch):
    return [
        arguments.conjoint, "generate", "--model", model, "--threads", str(arguments.threads), "--temperature", "0",
        "--unmasker", "marginal", "--schedule", "per-step:4", "--block-length", str(BLOCK), "--prompts", prompts,
        "--out", replies, "--batch-size", str(batch),
    ]


def mixed(arguments, model):
    spread = [64 * i for i in range(1, 17)]
    kinds = {"mixed, 64 to 1,024": spread, "all of the mean length, 544": [544] * 16, "all 1,024": [1024] * 16}
    seconds = {kind: [] for kind in kinds}
    for number in range(arguments.rounds):
        for kind, every in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                prompts, replies = pathlib.Path(folder, "prompts.jsonl"), pathlib.Path(folder, "replies.jsonl")
                requests(prompts, every * 2, number)
                start = time.perf_counter()
                subprocess.run(generate(arguments, model, prompts, replies, 16), check=True, capture_output=True)
                seconds[kind].append(time.perf_counter() - start)
    base = seconds["all of the mean length, 544"]
    rows = []
    for kind, times in seconds.items():
        ratios = [time / other for time, other in zip(times, base)]
        spread_of = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
        rows.append([kind, f"{statistics.median(times):.1f}", spread_of])
    table(["16 sequences, twice", "seconds", "of those of the mean length"], rows)


def resident(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def memory(arguments, model):
    marks = [100, 300, 500, 700, 900, arguments.requests - 10]
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        prompts, replies = pathlib.Path(folder, "prompts.jsonl"), pathlib.Path(folder, "replies.jsonl")
        requests(prompts, [draw.randrange(BLOCK + 1, 1025) for _ in range(arguments.requests)], 1)
        command = generate(arguments, model, prompts, replies, 1)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen = {}
        while process.poll() is None and len(seen) < len(marks):
            time.sleep(0.05)
            done = sum(1 for _ in open(replies)) if replies.exists() else 0
            for mark in marks:
                if done >= mark and mark not in seen:
                    seen[mark] = resident(process.pid)
        if process.wait():
            raise SystemExit("generate failed")
    rows = [[mark, f"{megabytes:.0f}", f"{megabytes / seen[marks[0]]:.2f}"] for mark, megabytes in seen.items()]
    table(["requests", "MB", "of those after 100"], rows)


def main():
    arguments = parse()
    model = make_model(arguments)
    for part in (lengths, mixed, memory):
        if arguments.only in (None, part.__name__):
            part(arguments, model)


if __name__ == "__main__":
    main()
