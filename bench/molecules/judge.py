"""Judges generated SMILES strings with the metrics of MOSES, and replies to infilling tasks.

    python3 bench/molecules/judge.py --molecules runs/molecules exact=exact-0.jsonl,exact-1.jsonl joint=joint-0.jsonl,joint-1.jsonl \\
        --json runs/judged.json --plot runs/properties.svg
    python3 bench/molecules/judge.py --molecules runs/molecules --task linker.answers.jsonl exact=exact.jsonl joint=joint.jsonl

A point is NAME=FILE[,FILE…]; several files are several seeds. A file has replies of `conjoint generate --prompts … --out FILE.jsonl`,
or one SMILES string a line. A request that failed counts as an invalid string. Strings end at their first [EOS].

Prints Markdown tables: the metrics of each point beside the published baselines, the 95 % interval of Wilson of each share, the
range over seeds, and the Wasserstein-1 distances of four properties. `--json` keeps the result of each file as soon as it is
measured. A later command with the same `--json` does not measure the same strings again.

What comes from where:

- The package `molsets` 0.3.1 of MOSES: all metrics but FCD, the synthetic accessibility score, the filters, and the statistics of
  both test sets. moses_package.py runs its code unchanged, from the archive that fetch.py downloads.
- The package `fcd_torch`: FCD. It has the weights of ChemNet in it.
- RDKit: molecules, fingerprints, fragments, scaffolds, logP, QED, weight.
- published.json: the table of the README of github.com/molecularsets/moses.
- This folder: intervals, the plot, and the judgement of tasks (tasks.py).

FCD shrinks with the number of strings: 30,000 are recommended, as for the baselines. They take ten minutes of one core.
Requires the packages of requirements.txt.
"""

import argparse
import hashlib
import json
import multiprocessing
import pathlib
import sys

import fetch
import moses_package
import replies
import tables


def point(argument):
    name, separator, files = argument.partition("=")
    if not name or not separator or not all(files.split(",")):
        raise argparse.ArgumentTypeError(f"invalid point {argument!r}: expected NAME=FILE[,FILE…]")
    return name, [pathlib.Path(file) for file in files.split(",")]


def positive(argument):
    if not argument.isdecimal() or int(argument) < 1:
        raise argparse.ArgumentTypeError(f"invalid value {argument!r}: expected an integer ≥ 1")
    return int(argument)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("points", type=point, nargs="+", metavar="NAME=FILE[,FILE…]", help="a point and the files of its seeds")
    parser.add_argument("--molecules", type=pathlib.Path, default="runs/molecules", help="folder of fetch.py")
    parser.add_argument("--task", type=pathlib.Path, metavar="ANSWERS", help="judge replies to the tasks of this file of prompts.py")
    parser.add_argument("--limit", type=positive, help="use the first LIMIT strings of each file")
    parser.add_argument("--json", type=pathlib.Path, metavar="OUT", help="file of the results")
    parser.add_argument("--plot", type=pathlib.Path, metavar="SVG", help="file of the plot of four properties")
    parser.add_argument("--jobs", type=positive, default=1, help="processes for RDKit")
    parser.add_argument("--device", default="cpu", help="device of FCD and SNN, such as cuda:0")
    chosen = parser.parse_args()
    names = [name for name, _ in chosen.points]
    if len(set(names)) < len(names):
        parser.error(f"the points {', '.join(names)} need different names")
    if chosen.task and (chosen.plot or chosen.limit):
        parser.error("--plot and --limit are not for --task")
    if not (chosen.molecules / "train.txt").exists():
        parser.error(f"{chosen.molecules} lacks train.txt: run python3 bench/molecules/fetch.py {chosen.molecules}")
    return chosen


def save(path, result):
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        fetch.write(path, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())


def kept(path):
    """The results of an earlier output, by the hash of their strings."""
    if not path or not path.exists():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))["files"]
    except (KeyError, TypeError, ValueError) as error:
        sys.exit(f"{path} is not an output of judge.py ({error!r}): give --json another file")


def unconditional(chosen):
    """Measures every file that has no result yet, then prints the tables."""
    points = {name: [replies.strings(file)[:chosen.limit] for file in files] for name, files in chosen.points}
    keys = {name: [hashlib.sha256("\n".join(part).encode()).hexdigest() for part in parts] for name, parts in points.items()}
    files = kept(chosen.json)
    references = moses_package.statistics(chosen.molecules) if chosen.plot else None
    if missing := [key for parts in keys.values() for key in parts if key not in files]:
        import metrics
        import torch

        torch.set_num_threads(chosen.jobs)
        modules = moses_package.load(chosen.molecules)
        references = references or moses_package.statistics(chosen.molecules)
        train = set(replies.strings(chosen.molecules / "train.txt"))
        # Processes that are forked know the modules already.
        pool = multiprocessing.get_context("fork").Pool(chosen.jobs) if chosen.jobs > 1 else 1
        for name, paths in chosen.points:
            for path, key, strings in zip(paths, keys[name], points[name]):
                if key in missing and key not in files:
                    options = {"jobs": chosen.jobs, "pool": pool, "device": chosen.device, "name": str(path)}
                    files[key] = {"file": str(path), **metrics.measure(modules, strings, references, train, **options)}
                    save(chosen.json, {"files": files})
    summaries = {name: tables.summary([files[key] for key in parts]) for name, parts in keys.items()}
    save(chosen.json, {"points": summaries, "files": files})
    print(tables.page(summaries))
    if chosen.plot:
        import plot

        histograms = {name: [files[key]["histograms"] for key in parts if files[key]["histograms"]] for name, parts in keys.items()}
        plot.distributions({name: seeds for name, seeds in histograms.items() if seeds}, references["Test"], chosen.plot)


def main():
    chosen = arguments()
    if not chosen.task:
        return unconditional(chosen)
    import tasks

    modules = moses_package.load(chosen.molecules)
    judged = {name: tasks.judge(modules, chosen.task, files) for name, files in chosen.points}
    save(chosen.json, {"tasks": str(chosen.task), "points": judged})
    print(tasks.page(judged))


if __name__ == "__main__":
    main()
