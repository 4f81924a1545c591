"""Which strategy at which budget? Compares them on models/tiny under several conditions, and writes docs/choosing.md.

    python bench/choosing.py [--samples 1024] [--seeds 0] [--conditions tag,tag-cool,task,tag-random] [--few]
        [--out runs/choosing]

Each condition is one `conjoint compare`, which resumes where it was interrupted. Costs are measured in each run: a quiet
machine is needed. Needs the release build of the command (`cargo build --release -p conjoint-cli`).
"""

import argparse
import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent

UNTRAINED = [
    "exact",
    "marginal",
    *(f"marginal+entropy-bound:{gamma}" for gamma in ("0.03", "0.1", "0.3", "1", "2")),
    *(f"marginal+threshold:{tau}" for tau in ("0.9", "0.7")),
    "demask",
    "demask:1",
    "dilated",
    "klass",
    "slow-fast",
    "local-leap",
    "confidence",
]
TRAINED = [
    "joint:window=2",
    "joint:window=3",
    "joint:window=2:bound=0.003",
    "joint:window=2:bound=0.01",
    *(f"joint:window=2:bound=0.003+entropy-bound:{gamma}" for gamma in ("0.1", "0.3", "1", "2")),
    *(f"joint:window=2:bound=0.001+entropy-bound:{gamma}" for gamma in ("0.1", "0.3", "1")),
    "joint:window=2:bound=0.003+threshold:0.7",
    "adaptive-joint",
]
KS = "2,4,8,12"
# Enough to see the picture, in a quarter of an hour.
FEW = [
    "exact",
    "marginal",
    "joint:window=3",
    "joint:window=2:bound=0.003",
    *(f"marginal+entropy-bound:{gamma}" for gamma in ("0.03", "0.1", "0.3", "1")),
    "joint:window=2:bound=0.001+entropy-bound:0.3",
    "joint:window=2:bound=0.003+entropy-bound:1",
]
FEW_KS = "2,4,8"
BUDGETS = (0.15, 0.2, 0.3, 0.4, 0.5)
CONDITIONS = {
    "tag": ("from a tag, temperature 1, entropy order", []),
    "tag-cool": ("from a tag, temperature 0.5, entropy order", ["--temperature", "0.5"]),
    "task": ("given a task, temperature 1, entropy order", ["--tasks"]),
    "tag-random": ("from a tag, temperature 1, random order", ["--order", "random"]),
}


def compare(conjoint, condition, options):
    """The means over seeds of a condition's points."""
    out = options.out / condition
    command = [conjoint, "compare", "--model", str(ROOT / "models/tiny"), "--out", str(out)]
    lines, ks = (FEW, FEW_KS) if options.few else (UNTRAINED + TRAINED, KS)
    command += ["--strategies", ",".join(lines), "--k", ks, "--batch-size", "32"]
    command += ["--num-samples", str(options.samples), "--seeds", options.seeds]
    command += ["--metrics", "right,nll,diversity", *CONDITIONS[condition][1]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads((out / "report.json").read_text())["means"]


def cost(point):
    of = point["cost"]
    return (of["denoiser_calls"] + of["sampler_calls"] * of["sampler_cost"]) / point["tokens"]


def name(point):
    """Such as `joint:window=2`, K = 4; a schedule is in the strategy's name already."""
    setting = point["parameter"]
    if setting.startswith("K = "):
        return f"`{point['strategy']}`, {setting}"
    strategy, plus, _ = point["strategy"].partition("+")
    return f"`{strategy}+{setting}`" if plus else f"`{point['strategy']}`"


def figure(point, metric, digits=3):
    value = point["metrics"].get(metric)
    if value is None:
        return "–"
    return f"{value['value']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"


def is_trained(point):
    return "joint" in point["strategy"]


def best(points, budget):
    within = [point for point in points if cost(point) <= budget]
    return max(within, key=lambda point: point["metrics"]["right"]["value"], default=None)


def front(points):
    """Those that no other beats in both cost and right texts."""
    ahead, most = [], -1.0
    for point in sorted(points, key=lambda point: (cost(point), -point["metrics"]["right"]["value"])):
        if point["metrics"]["right"]["value"] > most:
            most = point["metrics"]["right"]["value"]
            ahead.append(point)
    return ahead


def budgets(points):
    lines = ["| budget | the best with the layer | right | NLL | the best without training | right | NLL |"]
    lines.append("|---|---|---|---|---|---|---|")
    sides = [[point for point in points if is_trained(point) == side] for side in (True, False)]
    for budget in BUDGETS:
        cells = [f"{budget:.2f}"]
        for side in sides:
            found = best(side, budget)
            if found is None:
                cells += ["none", "–", "–"]
            else:
                cells += [f"{name(found)} ({cost(found):.2f})", figure(found, "right"), figure(found, "NLL")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def table(points):
    lines = ["| strategy | forwards per token | right | NLL | distinct | word entropy | tokens/s | front |"]
    lines.append("|---|---:|---|---|---|---|---:|---|")
    ahead = front(points)
    for point in sorted(points, key=cost):
        rate = point["tokens"] / point["seconds"]
        cells = [name(point), f"{cost(point):.3f}", figure(point, "right"), figure(point, "NLL")]
        cells += [figure(point, "distinct"), figure(point, "word entropy", 2), f"{rate:.0f}"]
        lines.append("| " + " | ".join([*cells, "yes" if point in ahead else ""]) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=1024, help="texts a point and seed")
    parser.add_argument("--seeds", default="0", help="such as 0,1,2")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="some of them")
    parser.add_argument("--few", action="store_true", help="a few strategies alone")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/choosing")
    parser.add_argument("--conjoint", default=str(ROOT / "target/release/conjoint"))
    options = parser.parse_args()
    text = ["# Which strategy at which budget?", ""]
    few = " --few" if options.few else ""
    command = f"python bench/choosing.py --samples {options.samples} --seeds {options.seeds}"
    text += [f"    {command} --conditions {options.conditions}{few}", "", "On `models/tiny`: "]
    text[-1] += f"{options.samples} texts a point, seeds {options.seeds}, batches of 32. A budget is in *forwards per token*: "
    text[-1] += "full forwards, and sampler passes at what they cost in the same run. *Right* is the share of texts that are "
    text[-1] += "right in everything, NLL is in nats a position, *distinct* the share of texts that no earlier one equals."
    text += [""]
    for condition in options.conditions.split(","):
        points = compare(options.conjoint, condition, options)
        title = CONDITIONS[condition][0]
        text += [f"## {title[0].upper()}{title[1:]}", "", *budgets(points), "", *table(points), ""]
    (ROOT / "docs/choosing.md").write_text("\n".join(text))


if __name__ == "__main__":
    main()
