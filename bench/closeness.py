"""Draws how close strategies come to one token at a time: docs/results-tokens.svg and docs/results-cost.svg.

    conjoint compare --model models/tiny --strategies exact,marginal,joint:window=3 --k 2,4,8 --num-samples 1024 --batch-size 32 \\
        --metrics right,nll --out runs/closeness/tiny
    python3 bench/molecules/compare.py --model models/molecules … --strategies exact,marginal,joint:window=3 --metrics nll --out …
    python3 bench/closeness.py "models/tiny=runs/closeness/tiny:right:texts right" "models/molecules=runs/closeness/molecules:valid:valid strings"

A panel is NAME=DIR:METRIC:LABEL. DIR is a folder of `conjoint compare`, or of bench/molecules/compare.py. The first picture has tokens per
forward on its x axis. The second has the cost: forwards per token, sampler passes included at the share of a forward that they took in the
same run. The line across is `exact`. Needs matplotlib.
"""

import argparse
import json
import pathlib

import matplotlib.pyplot as plt
from points import cost, save, tokens_per_forward

ROOT = pathlib.Path(__file__).resolve().parent.parent
COLOURS = {"marginal": "#c8553d", "joint:window=3": "#1b6ca8"}
LABELS = {"marginal": "independent draws", "joint:window=3": "with the sampler layer"}


def panel(argument):
    name, separator, rest = argument.partition("=")
    parts = rest.split(":", 2)
    if not name or not separator or len(parts) != 3 or not all(parts):
        raise argparse.ArgumentTypeError(f"invalid panel {argument!r}: expected NAME=DIR:METRIC:LABEL")
    return name, pathlib.Path(parts[0]), *parts[1:]


def points(folder):
    """The points of a comparison, with the metrics of other judges if it has such."""
    judged = folder / "judged.json"
    if judged.exists():
        return json.loads(judged.read_text(encoding="utf-8"))
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))["means"]


def draw(panels, axis, xlabel):
    """A figure with a panel for each model. `axis` is a function of a point."""
    figure, plots = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 3.8), layout="constrained", squeeze=False)
    for plot, (name, folder, metric, label) in zip(plots.flat, panels):
        found = [point for point in points(folder) if metric in point["metrics"]]
        (exact,) = (point for point in found if point["strategy"] == "exact")
        plot.axhline(exact["metrics"][metric]["value"], color="0.4", lw=1, ls="--", label="one token per forward")
        for kind, colour in COLOURS.items():
            own = [point for point in found if point["strategy"] == kind]
            own.sort(key=axis)
            values = [point["metrics"][metric] for point in own]
            bars = [[value["value"] - value["low"] for value in values], [value["high"] - value["value"] for value in values]]
            xs = [axis(point) for point in own]
            plot.errorbar(xs, [value["value"] for value in values], bars, fmt="o-", ms=4, lw=1.4, color=colour, label=LABELS[kind])
        plot.set(title=name, xlabel=xlabel, ylabel=label, ylim=(0, None))
        plot.title.set_fontsize(10)
        plot.grid(alpha=0.3)
    plots.flat[0].legend(fontsize=8, frameon=False)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("panels", type=panel, nargs="+", metavar="NAME=DIR:METRIC:LABEL", help="a panel and its comparison")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs", help="folder of the two pictures")
    chosen = parser.parse_args()
    for file, axis, xlabel in (
        ("results-tokens.svg", tokens_per_forward, "tokens per forward"),
        ("results-cost.svg", cost, "forwards per token, passes included"),
    ):
        save(draw(chosen.panels, axis, xlabel), chosen.out / file)
        print(chosen.out / file)


if __name__ == "__main__":
    main()
