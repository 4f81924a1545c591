"""Plots the distributions of four properties of each point beside the test set."""

import io
import pathlib

import fetch
import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
import numpy
from metrics import BINS, PROPERTIES, histogram

LABELS = {"logP": "logP", "SA": "synthetic accessibility", "QED": "drug-likeness (QED)", "weight": "molecular weight, Da"}


def distributions(points, reference, path):
    """Writes an SVG. `points` has for each name a list of histograms by property, one of each seed."""
    matplotlib.rcParams["svg.hashsalt"] = "conjoint"  # The same points give the same file.
    figure, panels = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained")
    for panel, (name, (low, high)) in zip(panels.flat, PROPERTIES.items()):
        edges = numpy.linspace(low, high, BINS + 1)
        test = numpy.array(histogram(reference[name]["values"], name))
        panel.stairs(test / test.sum() / (edges[1] - edges[0]), edges, fill=True, color="0.85", label="test set")
        for label, seeds in points.items():
            counts = sum(numpy.array(seed[name]) for seed in seeds)
            panel.stairs(counts / counts.sum() / (edges[1] - edges[0]), edges, linewidth=1.4, label=label)
        panel.set(xlabel=LABELS[name], xlim=(low, high), ylim=(0, None), yticks=[])
        panel.spines[["top", "right", "left"]].set_visible(False)
    panels.flat[1].legend(frameon=False)  # Synthetic accessibility has the most room.
    image = io.BytesIO()
    figure.savefig(image, format="svg", metadata={"Date": None})
    plt.close(figure)
    fetch.write(pathlib.Path(path), image.getvalue())
