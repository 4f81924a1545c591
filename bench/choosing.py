"""Which strategy at which budget? Compares them on models/tiny under several conditions, and writes docs/choosing.md
and docs/choosing.svg.

    python bench/choosing.py [--samples 1024] [--nll-samples 512] [--seeds 0,1,2] [--conditions tag,tag-cool,task,tag-random]
        [--out runs/choosing]

The first condition compares many strategies with all seeds, the others a few strategies with the first seed; last comes one
table of every strategy. bench/choosing.md and bench/every.md are the words around the tables. Each comparison is one `conjoint compare`, which resumes where it was interrupted. Costs are measured in each run: a quiet machine is needed,
for about an hour. Needs matplotlib, and the release build of the command (`cargo build --release -p conjoint-cli`).
"""

import argparse
import json
import pathlib
import subprocess

import matplotlib.pyplot as plt
import points as shared
from points import BUDGETS, TRAINED, UNTRAINED, cost, figure, name

ROOT = pathlib.Path(__file__).resolve().parent.parent

KS = "4,8,12"
FEW = [
    "exact",
    "marginal",
    *(f"marginal+entropy-bound:{gamma}" for gamma in ("0.03", "0.3", "1")),
    "joint:window=3:bound=0.001",
    *(f"joint:window=3:bound=0.001+entropy-bound:{gamma}" for gamma in ("0.3", "2")),
]
FEW_KS = "4,8"
# All others, and combinations with the sampler layer, at K = 4 where they have such a choice.
EVERY = [
    *("exact", "marginal", "confidence", "joint", "adaptive-joint", "clipped-joint"),
    *("energy", "copula", "prefix-acceptance", "origin", "p2", "remdm", "remdm-loop", "rcr"),
    *("wino", "edit", "saber", "hierarchical", "local-leap", "slow-fast", "klass", "dilated", "demask"),
    *("marginal+threshold:0.9", "marginal+entropy-bound:0.1", "marginal+klass", "marginal/rcr"),
    *(f"joint:window=3+{policy}" for policy in ("threshold:0.7", "klass", "demask:0.5", "saber", "dilated")),
    *(f"joint:window=3+{policy}" for policy in ("local-leap", "slow-fast", "hierarchical")),
    *("joint:window=3", "joint:window=3+entropy-bound:0.3"),
    *("verified:4", "verified:4:any"),
]
CONDITIONS = {
    "tag": ("from a tag, temperature 1, entropy order", []),
    "tag-cool": ("from a tag, temperature 0.5, entropy order", ["--temperature", "0.5"]),
    "task": ("given a task, temperature 1, entropy order", ["--tasks"]),
    "tag-random": ("from a tag, temperature 1, random order", ["--order", "random"]),
}


class Comparisons:
    """The comparisons of one condition."""

    def __init__(self, options, condition, is_first):
        self.options, self.condition, self.is_first = options, condition, is_first
        lines, ks = (UNTRAINED + TRAINED, KS) if is_first else (FEW, FEW_KS)
        if "--order" in CONDITIONS[condition][1]:
            # The others choose their order themselves.
            lines = [line for line in lines if "entropy-bound" not in line]
        self.strategies = ["--strategies", ",".join(lines), "--k", ks]
        self.seeds = options.seeds if is_first else options.seeds.split(",")[0]

    def run(self, part, samples, seeds, batch, metrics):
        """The means over seeds of the points, by name."""
        out = self.options.out / self.condition / part
        command = [self.options.conjoint, "compare", "--model", str(ROOT / "models/tiny"), "--out", str(out)]
        command += [*self.strategies, "--batch-size", str(batch), "--num-samples", str(samples)]
        command += ["--seeds", seeds, "--metrics", metrics, *CONDITIONS[self.condition][1]]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        means = json.loads((out / "report.json").read_text())["means"]
        return {name(point): point for point in means}

    def points(self):
        """Right texts and diversity of all seeds, the speed of a batch of one, and NLL in the first condition."""
        first = self.seeds.split(",")[0]
        points = self.run("right", self.options.samples, self.seeds, 32, "right,diversity")
        alone = self.run("alone", 32, first, 1, "parses")
        likely = self.run("nll", self.options.nll_samples, first, 32, "nll") if self.is_first else {}
        for key, point in points.items():
            point["alone"] = rate(alone[key])
            if key in likely:
                point["metrics"] |= likely[key]["metrics"]
        return list(points.values())


def every(options):
    """The table of all strategies."""
    out = options.out / "every"
    out.mkdir(parents=True, exist_ok=True)
    texts = out / "texts.txt"
    if not texts.exists():
        made = subprocess.run([options.conjoint, "corpus", "--num", "3000", "--seed", "7"], check=True, capture_output=True)
        texts.write_bytes(made.stdout)
    command = [options.conjoint, "compare", "--model", str(ROOT / "models/tiny"), "--out", str(out / "compare")]
    command += ["--strategies", ",".join(EVERY), "--k", "4", "--batch-size", "32", "--num-samples", "512", "--seeds", "0"]
    command += ["--scorer", f"ngram:5:{texts}", "--metrics", "right,parses,diversity"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    points = json.loads((out / "compare/report.json").read_text())["means"]
    head = ["strategy", "forwards per token", "passes per token", "cost", "right", "parses", "distinct", "word entropy"]
    lines = ["| " + " | ".join(head) + " |", "|---|---:|---:|---:|---|---|---|---|"]
    for point in sorted(points, key=cost):
        calls = [point["cost"][of] / point["tokens"] for of in ("denoiser_calls", "sampler_calls")]
        cells = [name(point), *(f"{count:.2f}" for count in calls), f"{cost(point):.3f}"]
        cells += [figure(point, metric) for metric in ("right", "parses", "distinct")]
        lines.append("| " + " | ".join([*cells, figure(point, "word entropy", 2)]) + " |")
    return lines


def rate(point):
    """Tokens a second."""
    return point["tokens"] / point["seconds"]


def budgets(points):
    lines = ["| budget | the best with the layer | right | NLL | the best without training | right | NLL |"]
    lines.append("|---|---|---|---|---|---|---|")
    sides = [shared.side(points, trained) for trained in (True, False)]
    for budget in BUDGETS:
        cells = [f"{budget:.2f}"]
        for side in sides:
            found = shared.best(side, budget, "right")
            if found is None:
                cells += ["none", "–", "–"]
            else:
                cells += [f"{name(found)} ({cost(found):.2f})", figure(found, "right"), figure(found, "NLL")]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def table(points):
    head = ["strategy", "forwards per token", "right", "NLL", "distinct", "word entropy"]
    head += ["tokens/s, batch 32", "batch 1", "front"]
    lines = ["| " + " | ".join(head) + " |", "|---|---:|---|---|---|---|---:|---:|---|"]
    ahead = shared.front(points, "right")
    for point in sorted(points, key=cost):
        cells = [name(point), f"{cost(point):.3f}", figure(point, "right"), figure(point, "NLL")]
        cells += [figure(point, "distinct"), figure(point, "word entropy", 2)]
        cells += [f"{rate(point):.0f}", f"{point['alone']:.0f}", "yes" if point in ahead else ""]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def draw(conditions):
    """Right texts against cost, a panel a condition, each with the fronts of both sides."""
    rows = (len(conditions) + 1) // 2
    drawn, panels = plt.subplots(rows, min(2, len(conditions)), figsize=(11, 4.4 * rows), squeeze=False)
    for panel, (condition, points) in zip(panels.flat, conditions.items()):
        shared.draw_fronts(panel, points, "right", "share of right texts")
        panel.set_title(CONDITIONS[condition][0], fontsize=10)
    for panel in panels.flat[len(conditions):]:
        panel.axis("off")
    drawn.tight_layout()
    shared.save(drawn, ROOT / "docs/choosing.svg")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=1024, help="texts a point and seed")
    parser.add_argument("--nll-samples", type=int, default=512, help="texts a point for the likelihood")
    parser.add_argument("--seeds", default="0,1,2", help="such as 0,1,2")
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="some of them")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/choosing")
    parser.add_argument("--conjoint", default=str(ROOT / "target/release/conjoint"))
    options = parser.parse_args()
    chosen = options.conditions.split(",")
    conditions = {
        condition: Comparisons(options, condition, condition == chosen[0]).points() for condition in chosen
    }
    command = f"python bench/choosing.py --samples {options.samples} --nll-samples {options.nll_samples}"
    command += f" --seeds {options.seeds} --conditions {options.conditions}"
    seeds = len(options.seeds.split(","))
    numbers = {
        "COMMAND": command,
        "ALL_TEXTS": f"{options.samples * seeds:,}",
        "NLL_TEXTS": f"{options.nll_samples:,}",
        "TEXTS": f"{options.samples:,}",
    }
    introduction = (ROOT / "bench/choosing.md").read_text()
    for of, number in numbers.items():
        introduction = introduction.replace(of, number)
    text = [introduction.rstrip(), ""]
    for condition, points in conditions.items():
        title = CONDITIONS[condition][0]
        text += [f"## {title[0].upper()}{title[1:]}", "", *budgets(points), "", *table(points), ""]
    text += ["## Every strategy", "", *(ROOT / "bench/every.md").read_text().splitlines(), "", *every(options), ""]
    (ROOT / "docs/choosing.md").write_text("\n".join(text))
    draw(conditions)


if __name__ == "__main__":
    main()
