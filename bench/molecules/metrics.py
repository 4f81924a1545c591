"""The metrics of MOSES (Polykovskiy et al., arXiv 1811.12823) of one list of generated strings.

`measure` calls the functions and classes of MOSES in the order of its `get_all_metrics`, and returns the same values. It computes
what both test sets need once, takes a list of training strings, and counts what an interval needs.
"""

import sys
import time

import numpy

PROPERTIES = {"logP": (-4, 8), "SA": (1, 7), "QED": (0, 1), "weight": (150, 450)}
BINS = 60
UNIQUE = (1000, 10_000)


def histogram(values, name):
    """Counts in equal bins of the property's range. A value outside of the range belongs to the first or the last bin."""
    low, high = PROPERTIES[name]
    return numpy.histogram(numpy.clip(values, low, high), bins=BINS, range=(low, high))[0].tolist()


class Progress:
    """Prints the seconds of each part to standard error."""

    def __init__(self, name):
        self.name, self.start = name, time.monotonic()

    def __call__(self, part):
        now = time.monotonic()
        print(f"{self.name}: {part}, {now - self.start:.1f} s", file=sys.stderr, flush=True)
        self.start = now


def share(hits, count):
    return {"hits": hits, "count": count}


def measure(modules, strings, references, train, *, jobs=1, pool=1, device="cpu", name="strings"):
    """The metrics by name, the counts of those that are shares, and histograms of the properties.

    `modules` are those of `moses_package.load`, `references` the statistics of each test set, `train` a set of canonical strings.
    Without two valid strings there is no metric but validity.
    """
    moses, utils = modules
    progress = Progress(name)
    canonical = utils.mapper(pool)(utils.canonic_smiles, strings)
    valid = [string for string in canonical if string is not None]
    metrics, shares = {"valid": len(valid) / len(strings)}, {"valid": share(len(valid), len(strings))}
    progress(f"{len(valid):,} of {len(strings):,} strings are valid")
    if len(valid) < 2:
        return {"metrics": metrics, "shares": shares, "histograms": {}}
    mols = utils.mapper(pool)(utils.get_mol, valid)
    for count in UNIQUE:
        metrics[f"unique@{count}"] = moses.fraction_unique(valid, count, pool)
        first = min(count, len(valid))
        shares[f"unique@{count}"] = share(round(metrics[f"unique@{count}"] * first), first)

    options = {"n_jobs": pool, "device": device, "batch_size": 512}
    makers = {
        # Reads the strings with a number of workers, not with a pool.
        "FCD": (moses.FCDMetric(**{**options, "n_jobs": jobs}), valid),
        "SNN": (moses.SNNMetric(**options), mols),
        "Frag": (moses.FragMetric(**options), mols),
        "Scaf": (moses.ScafMetric(**options), mols),
    }
    made = {}
    for metric, (maker, molecules) in makers.items():
        made[metric] = maker.precalc(molecules)
        for reference, statistics in references.items():
            metrics[f"{metric}/{reference}"] = float(maker.metric(statistics[metric], made[metric]))
        progress(metric)
    for power, metric in ((1, "IntDiv"), (2, "IntDiv2")):
        metrics[metric] = float(moses.internal_diversity(mols, pool, device=device, gen_fps=made["SNN"]["fps"], p=power))
    progress("IntDiv, IntDiv2")
    passes = sum(utils.mapper(pool)(utils.mol_passes_filters, mols))
    metrics["Filters"], shares["Filters"] = passes / len(mols), share(int(passes), len(mols))
    progress("Filters")

    histograms = {}
    for metric in PROPERTIES:
        maker = moses.WassersteinMetric(getattr(utils, metric), **options)
        found = maker.precalc(mols)
        metrics[metric] = float(maker.metric(references["Test"][metric], found))
        histograms[metric] = histogram(found["values"], metric)
    distinct = set(valid)
    novel = len(distinct - train)
    metrics["Novelty"], shares["Novelty"] = novel / len(distinct), share(novel, len(distinct))
    progress("properties, novelty")
    return {"metrics": metrics, "shares": shares, "histograms": histograms}
