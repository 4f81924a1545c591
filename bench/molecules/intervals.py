"""Intervals of measured shares and means."""

import math
import random

Z = 1.959964  # of 95 %


def wilson(hits, count):
    """The 95 % interval of Wilson for a share of `hits` in `count` independent trials."""
    if count == 0:
        return None
    share, square = hits / count, Z * Z / count
    centre = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return [max(0.0, centre - half), min(1.0, centre + half)]


def bootstrap(groups, resamples=1000, seed=0):
    """The 95 % percentile interval of the ratio Σ hits / Σ count, of pairs (hits, count) that are resampled as wholes.

    Samples of one task are not independent, so whole tasks are resampled.
    """
    if not sum(count for _, count in groups):
        return None
    draw, ratios = random.Random(seed), []
    for _ in range(resamples):
        drawn = draw.choices(groups, k=len(groups))
        count = sum(count for _, count in drawn)
        ratios += [sum(hits for hits, _ in drawn) / count] if count else []
    ratios.sort()
    return [ratios[int(0.025 * len(ratios))], ratios[min(len(ratios) - 1, int(0.975 * len(ratios)))]]


def spread(values):
    """Mean, standard deviation of the sample, least and greatest of the values of several seeds. None if a value is missing."""
    if not values or any(value is None for value in values):
        return None
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else None
    return {"mean": mean, "sd": deviation, "min": min(values), "max": max(values)}
