"""Markdown tables of the measured points beside the published baselines of MOSES."""

import json
import pathlib

from intervals import spread, wilson
from metrics import PROPERTIES

COLUMNS = {
    "Valid ↑": "valid", "Unique@1k ↑": "unique@1000", "Unique@10k ↑": "unique@10000",
    "FCD/Test ↓": "FCD/Test", "FCD/TestSF ↓": "FCD/TestSF", "SNN/Test ↑": "SNN/Test", "SNN/TestSF ↑": "SNN/TestSF",
    "Frag/Test ↑": "Frag/Test", "Frag/TestSF ↑": "Frag/TestSF", "Scaf/Test ↑": "Scaf/Test", "Scaf/TestSF ↑": "Scaf/TestSF",
    "IntDiv ↑": "IntDiv", "IntDiv2 ↑": "IntDiv2", "Filters ↑": "Filters", "Novelty ↑": "Novelty",
}  # fmt: skip
SHARES = ("valid", "unique@1000", "unique@10000", "Filters", "Novelty")
PUBLISHED = json.loads((pathlib.Path(__file__).parent / "published.json").read_text(encoding="utf-8"))


def table(header, rows):
    """A Markdown table. The first column is text, the others are numbers."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value):
    return f"{value:.4f}"


def cell(mean, deviation=None):
    if mean is None:
        return "–"
    return number(mean) if deviation is None else f"{number(mean)} ± {number(deviation)}"


def summary(seeds):
    """Of several measurements of one point: the mean and spread of each metric, and the interval of each share."""
    names = dict.fromkeys(name for seed in seeds for name in seed["metrics"])
    metrics = {name: spread([seed["metrics"].get(name) for seed in seeds]) for name in names}
    intervals = {}
    for name in SHARES:
        counted = [seed["shares"][name] for seed in seeds if name in seed["shares"]]
        hits, count = (sum(part[key] for part in counted) for key in ("hits", "count"))
        intervals[name] = {"hits": hits, "count": count, "wilson95": wilson(hits, count)}
    return {"metrics": metrics, "shares": intervals}


def main_table(points):
    """The metrics of every point, and those of the baselines."""
    rows = []
    for name, point in points.items():
        found = [point["metrics"].get(key) or {} for key in COLUMNS.values()]
        rows.append([name, *(cell(value.get("mean"), value.get("sd")) for value in found)])
    for name, published in PUBLISHED["rows"].items():
        rows.append([f"{name} (published)", *(cell(*published.get(key, [None])) for key in COLUMNS.values())])
    return table(["Point", *COLUMNS], rows)


def interval_table(points):
    """The 95 % interval of Wilson of each share, over the strings of all seeds."""
    labels = {key: label.split(" ")[0] for label, key in COLUMNS.items()}
    rows = []
    for name, point in points.items():
        found = [point["shares"][key] for key in SHARES]
        cells = ["{}–{}".format(*map(number, share["wilson95"])) if share["wilson95"] else "–" for share in found]
        rows.append([name, f"{found[0]['count']:,}", *cells])
    return table(["Point", "Strings", *(labels[key] for key in SHARES)], rows)


def range_table(points):
    """The least and the greatest value of each metric over the seeds, for points with several."""
    rows = []
    for name, point in points.items():
        found = [point["metrics"].get(key) for key in COLUMNS.values()]
        if any(value and value["sd"] is not None for value in found):
            rows.append([name, *("{}–{}".format(*map(number, (value["min"], value["max"]))) if value else "–" for value in found)])
    return table(["Point", *COLUMNS], rows) if rows else None


def property_table(points):
    """The Wasserstein-1 distances of four properties to the test set."""
    rows = []
    for name, point in points.items():
        found = [point["metrics"].get(key) or {} for key in PROPERTIES]
        rows.append([name, *(cell(value.get("mean"), value.get("sd")) for value in found)])
    return table(["Point", *(f"{key} ↓" for key in PROPERTIES)], rows)


def page(points):
    """All tables with their captions."""
    parts = [main_table(points), "Mean ± standard deviation over the files of a point. Published: " + PUBLISHED["source"]]
    parts += ["95 % interval of Wilson over the strings of all files:", interval_table(points)]
    if ranges := range_table(points):
        parts += ["Least and greatest value over the files:", ranges]
    parts += ["Wasserstein-1 distance of a property to the test set:", property_table(points)]
    return "\n\n".join(parts)
