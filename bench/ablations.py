#!/usr/bin/env python3
"""The table of bench/ablations.sh: python3 bench/ablations.py FOLDER VARIANT ...

Writes FOLDER/ablations.json and FOLDER/ablations.md from the runs that are there."""
import json
import sys
from pathlib import Path

DEPTHS = (1, 3, 7)


def variant(folder):
    """The last validation of a run and its points, or None if it is not finished."""
    log, report = folder / "run/log.jsonl", folder / "eval/report.json"
    if not (log.exists() and report.exists()):
        return None
    records = [json.loads(line) for line in log.read_text().splitlines()]
    last = next(r for r in reversed(records) if r.get("validation"))
    points = sorted(json.loads(report.read_text())["points"], key=lambda p: int(p["parameter"].split()[-1]))
    return {
        "steps": last["step"],
        "seconds_per_step": last["seconds"] / last["step"],
        "validation": last["validation"],
        "points": {p["parameter"]: p["metrics"] for p in points},
    }


def row(name, found):
    def left(figure):
        values = (found["validation"].get(f"{figure} {depth}") for depth in DEPTHS)
        return " / ".join("–" if v is None else f"{v:.2f}" for v in values)

    cells = [name, f"{found['steps']}", f"{found['seconds_per_step']:.2f}", left("kl left"), left("next kl left")]
    for metrics in found["points"].values():
        right = metrics["right"]
        cells.append(f"{right['value']:.3f} [{right['low']:.3f}, {right['high']:.3f}]")
    return cells


def main():
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    found = {name: result for name in names if (result := variant(folder / name))}
    (folder / "ablations.json").write_text(json.dumps(found, indent=1) + "\n")
    if not found:
        return
    points = next(iter(found.values()))["points"]
    depths = "/".join(map(str, DEPTHS))
    head = ["variant", "steps", "s a step", f"KL left at depths {depths}", f"at the row revealed next, {depths}"]
    head += [f"texts right, {parameter}" for parameter in points]
    lines = [head, ["---"] * len(head)] + [row(name, result) for name, result in found.items()]
    table = "".join("| " + " | ".join(cells) + " |\n" for cells in lines)
    (folder / "ablations.md").write_text(table)
    print(table)


main()
