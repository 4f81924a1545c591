"""Medians and ratios of the rounds of bench/race.sh: a Markdown table, and JSON.

    python bench/compare.py ROUNDS_DIR OUT.json

Exits with 1 if the two did not generate the same tokens in every round.
"""

import json
import pathlib
import statistics
import sys


def load(folder, kind):
    files = sorted(folder.glob(f"*.{kind}.json"), key=lambda file: int(file.name.split(".")[0]))
    return [json.loads(file.read_text()) for file in files]


def same(ours, theirs):
    """How many generated tokens of all sequences are equal, and how many there are."""
    pairs = [pair for a, b in zip(ours["sequences"], theirs["sequences"]) for pair in zip(a, b)]
    prompt = sum(map(len, ours["sequences"])) - ours["tokens"]
    return sum(a == b for a, b in pairs) - prompt, len(pairs) - prompt


def line(ours, theirs):
    """One strategy in all rounds."""
    run = ours[0]
    seconds = {
        "conjoint": statistics.median(t for run in ours for t in run["all_seconds"]),
        "reference": statistics.median(t for run in theirs for t in run["all_seconds"]),
    }
    passes = [run["pass_per_forward"] for run in ours if run["pass_per_forward"] is not None]
    reference_passes = [
        run["pass_seconds"] / run["forward_seconds"] for run in theirs if run["pass_seconds"]
    ]
    equal, of = map(sum, zip(*(same(a, b) for a, b in zip(ours, theirs))))
    return {
        "strategy": run["strategy"],
        "setting": run["setting"],
        "calls": [run["forwards"], run["sampler_passes"]],
        "reference_calls": [theirs[0]["forwards"], theirs[0]["sampler_passes"]],
        "tokens_per_second": {name: run["tokens"] / s for name, s in seconds.items()},
        "ratio": seconds["reference"] / seconds["conjoint"],
        "pass_per_forward": statistics.median(passes) if passes else None,
        "reference_pass_per_forward": statistics.median(reference_passes) if reference_passes else None,
        "outside": statistics.median(run["outside"] for run in ours),
        "equal": equal,
        "of": of,
    }


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    ours, theirs = load(folder, "conjoint"), load(folder, "reference")
    rounds = min(len(ours), len(theirs))
    ours, theirs = ours[:rounds], theirs[:rounds]
    lines = [
        line([report["runs"][n] for report in ours], [report["runs"][n] for report in theirs])
        for n in range(len(ours[0]["runs"]))
    ]
    out.write_text(json.dumps({"rounds": rounds, "torch": theirs[0]["torch"], "runs": lines}, indent=2))
    print(f"Medians of {rounds} rounds, {ours[0]['threads']} threads, PyTorch {theirs[0]['torch']}.\n")
    print("| strategy | forwards, passes | reference, tokens/s | conjoint, tokens/s | ratio "
          "| pass / forward, reference | conjoint | outside of ONNX Runtime | equal tokens |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    ratio = lambda x: "–" if x is None else f"{x:.3f}"
    for run in lines:
        speed = run["tokens_per_second"]
        print(f"| {run['strategy']} {run['setting']} | {run['calls'][0]}, {run['calls'][1]} "
              f"| {speed['reference']:.1f} | {speed['conjoint']:.1f} | **{run['ratio']:.2f}×** "
              f"| {ratio(run['reference_pass_per_forward'])} | {ratio(run['pass_per_forward'])} "
              f"| {100 * run['outside']:.1f} % | {run['equal']} of {run['of']} |")
    wrong = [f"{run['strategy']} {run['setting']}" for run in lines
             if run["equal"] != run["of"] or run["calls"] != run["reference_calls"]]
    if wrong:
        sys.exit(f"not the same tokens or calls: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
