"""Judges replies to the infilling tasks of prompts.py.

For each point, over the samples of all its files:

- valid: the share of samples that RDKit parses.
- exact: the share of samples whose canonical SMILES is that of the test molecule, and the share of tasks with such a sample.
- kept: the share of valid samples in which the kept part is a substructure. A fill can change it, with a ring closure for instance.
- distinct: the number of distinct valid molecules of a task, as a share of its samples.
- IntDiv: the internal diversity of MOSES of the valid samples of a task, the mean over tasks with at least two.

The samples of a task are not independent. Intervals are percentiles of a bootstrap over tasks, and of Wilson for the share of tasks.
"""

import collections
import sys

import replies
import tables
from intervals import bootstrap, wilson
from rdkit import Chem

PARTS = ("valid", "exact", "kept", "distinct", "IntDiv")


def read(answers, files):
    """The answers by id, and the samples of each."""
    tasks = {answer["id"]: answer for answer in replies.objects(answers)}
    samples = collections.defaultdict(list)
    for file in files:
        found = set()
        for identity, string in replies.replies(file):
            if identity not in tasks:
                sys.exit(f"{file}: the reply has the id {identity!r}, which {answers} lacks")
            # A request that failed has an empty string.
            if string and not string.startswith(tasks[identity]["before"]):
                sys.exit(f"{file}: the reply {string} to the task {identity} does not begin with {tasks[identity]['before']!r}")
            samples[identity].append(string)
            found.add(identity)
        if missing := tasks.keys() - found:
            sys.exit(f"{file}: {len(missing):,} of {len(tasks):,} tasks of {answers} have no reply, such as {min(missing)!r}")
    return tasks, samples


def judge_task(modules, answer, samples):
    """Pairs (hits, count) of one task by part."""
    moses, utils = modules
    target = utils.canonic_smiles(answer["molecule"])
    kept = Chem.MolFromSmarts(answer["kept"])
    canonical = [utils.canonic_smiles(sample) for sample in samples]
    valid = [string for string in canonical if string is not None]
    mols = [utils.get_mol(string) for string in valid]
    several = len(valid) > 1
    return {
        "valid": (len(valid), len(samples)),
        "exact": (canonical.count(target), len(samples)),
        "kept": (sum(mol.HasSubstructMatch(kept) for mol in mols), len(mols)),
        "distinct": (len(set(valid)), len(samples)),
        "IntDiv": (float(moses.internal_diversity(mols)) if several else 0.0, int(several)),
    }


def judge(modules, answers, files):
    """The parts of a point with their intervals."""
    tasks, samples = read(answers, files)
    judged = [judge_task(modules, answer, samples[identity]) for identity, answer in tasks.items()]
    solved = sum(task["exact"][0] > 0 for task in judged)
    point = {"tasks": len(tasks), "samples": sum(map(len, samples.values()))}
    point["solved"] = {"hits": solved, "wilson95": wilson(solved, len(tasks))}
    for part in PARTS:
        pairs = [task[part] for task in judged]
        hits, count = (sum(values) for values in zip(*pairs))
        point[part] = {"value": hits / count if count else None, "count": count, "bootstrap95": bootstrap(pairs)}
    return point


def page(points):
    """A Markdown table of the points."""
    rows = []
    for name, point in points.items():
        cells = {part: point[part] for part in PARTS}
        cells["solved"] = {"value": point["solved"]["hits"] / point["tasks"], "bootstrap95": point["solved"]["wilson95"]}
        order = ("valid", "exact", "solved", "kept", "distinct", "IntDiv")
        shown = [interval(cells[part]["value"], cells[part]["bootstrap95"]) for part in order]
        rows.append([name, f"{point['tasks']:,}", f"{point['samples'] / point['tasks']:g}", *shown])
    columns = ["Valid ↑", "Exact ↑", "Tasks with an exact sample ↑", "Kept ↑", "Distinct ↑", "IntDiv ↑"]
    return tables.table(["Point", "Tasks", "Samples a task", *columns], rows) + "\n\nIn brackets: 95 % intervals."


def interval(value, bounds):
    if value is None:
        return "–"
    return f"{tables.number(value)} ({tables.number(bounds[0])}–{tables.number(bounds[1])})"
