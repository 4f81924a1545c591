#!/usr/bin/env python3
"""The table of run.sh: python3 crates/train/ablations/table.py FOLDER STEPS VARIANT ...

Writes FOLDER/ablations.json and FOLDER/ablations.md from the finished runs."""
import json
import math
import sys
from pathlib import Path

DEPTHS = (1, 3, 7)


def points(report):
    """The figures of a report by strategy and setting, in the order of K."""
    by_k = sorted(json.loads(report.read_text())["points"], key=lambda p: int(p["parameter"].split()[-1]))
    return {(p["strategy"], p["parameter"]): p["metrics"] for p in by_k}


def variant(folder, steps):
    """The validation and the points of a run after `steps` steps, or None if it is not finished."""
    log, report = folder / "run/log.jsonl", folder / f"eval-{steps}/report.json"
    if not (log.exists() and report.exists()):
        return None
    records = [json.loads(line) for line in log.read_text().splitlines()]
    last = next((r for r in reversed(records) if r.get("validation") and r["step"] == steps), None)
    return last and {"steps": steps, "validation": last["validation"], "points": figures(report)}


def figures(report):
    """The figures of a report with one strategy, by setting."""
    return {setting: found for (_, setting), found in points(report).items()}


def closed(figure, floor, ceiling):
    """The closed share of the gap and the half-width of its 95 % interval, as conjoint_eval::gap_closed."""
    half = lambda of: (of["high"] - of["low"]) / 2
    if any(isinstance(of[end], str) for of in (figure, floor, ceiling) for end in ("value", "low", "high")):
        return "–"  # infinite
    gap = ceiling["value"] - floor["value"]
    if abs(gap) <= math.hypot(half(floor), half(ceiling)):
        return "–"
    share = (figure["value"] - floor["value"]) / gap
    slopes = [(figure, 1), (floor, share - 1), (ceiling, share)]
    side = math.hypot(*(slope * half(of) / gap for of, slope in slopes))
    return f"{share:.2f} ± {side:.2f}"


def row(name, found, ends):
    def left(figure):
        values = (found["validation"].get(f"{figure} {depth}") for depth in DEPTHS)
        return " / ".join("–" if v is None else f"{v:.3f}" for v in values)

    cells = [name, f"{found['steps']}", left("kl left"), left("next kl left")]
    for metric in metrics(found):
        for setting, figures in found["points"].items():
            floor, ceiling = ends["marginal", setting], ends["exact", "K = 1"]
            cells.append(closed(figures[metric], floor[metric], ceiling[metric]))
    return cells


def metrics(found):
    figures = next(iter(found["points"].values()))
    return [name for name in ("NLL", "parses", "right") if name in figures]


def main():
    folder, steps, names = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    start = folder / "start/report.json"
    found = {"start": {"steps": 0, "validation": {}, "points": figures(start)}} if start.exists() else {}
    found |= {name: result for name in names if (result := variant(folder / name, steps))}
    (folder / "ablations.json").write_text(json.dumps(found, indent=1) + "\n")
    if not found:
        return
    first = next(iter(found.values()))
    depths = "/".join(map(str, DEPTHS))
    head = ["variant", "steps", f"KL left at depths {depths}", f"KL left at the row revealed next, {depths}"]
    head += [f"{metric} gap closed, {setting}" for metric in metrics(first) for setting in first["points"]]
    ends = points(folder / "ends/report.json")
    lines = [head, ["---"] * len(head)] + [row(name, result, ends) for name, result in found.items()]
    table = "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
    (folder / "ablations.md").write_text(table)
    print(table)


main()
