"""Imports the metrics of MOSES, unchanged, from the archive that fetch.py downloads.

The archive is `molsets` 0.3.1 of 2020. Its metrics equal those of the last commit of github.com/molecularsets/moses. Its pins
(pomegranate 0.12) cannot be installed today, and only its baselines need them. `load` unpacks the metrics and the statistics of
both test sets, and makes up for three changes of newer packages:

- `rdkit.six.iteritems` and `DataFrame.append` are gone: `load` adds them.
- SciPy's cosine distance no longer turns counts into floats, and the product of two norms of counts overflows an integer. Frag of
  30,000 strings is wrong then. `load` turns the counts into floats first.
"""

import os
import pathlib
import shutil
import sys
import tempfile
import types
import zipfile

import fetch

UNPACKED = "molsets-0.3.1"
PARTS = ("moses/__init__.py", "moses/utils.py", "moses/metrics/", "moses/dataset/__init__.py", "moses/dataset/dataset.py")
STATISTICS = {"Test": "test_stats.npz", "TestSF": "test_scaffolds_stats.npz"}


def unpack(folder):
    """The folder of the metrics, unpacked from the archive if it is missing."""
    place = folder / UNPACKED
    if not place.exists():
        with tempfile.TemporaryDirectory(dir=folder) as aside, zipfile.ZipFile(fetch.archive(folder)) as package:
            names = [name for name in package.namelist() if name.startswith(PARTS) or name.endswith("_stats.npz")]
            package.extractall(aside, names)
            whole = pathlib.Path(aside) / UNPACKED
            whole.mkdir()
            shutil.move(pathlib.Path(aside) / "moses", whole / "moses")
            os.replace(whole, place)
    return place


def load(folder):
    """The modules `moses.metrics.metrics` and `moses.metrics.utils`."""
    place = unpack(folder)
    import pandas
    from rdkit import RDLogger
    from scipy.spatial.distance import cosine

    six = types.ModuleType("rdkit.six")
    six.iteritems = lambda mapping: iter(mapping.items())
    sys.modules.setdefault("rdkit.six", six)
    if not hasattr(pandas.DataFrame, "append"):
        pandas.DataFrame.append = lambda self, other, sort=False: pandas.concat([self, other], sort=sort)
    # Each invalid string would print an error, and each fingerprint a warning.
    RDLogger.DisableLog("rdApp.*")
    sys.path.insert(0, str(place))
    import moses.metrics.metrics
    import moses.metrics.utils

    moses.metrics.metrics.cos_distance = lambda one, other: cosine(one.astype(float), other.astype(float))
    return moses.metrics.metrics, moses.metrics.utils


def statistics(folder):
    """MOSES' own statistics of the test set and of the scaffold test set."""
    import numpy

    data = unpack(folder) / "moses" / "dataset" / "data"
    # They are pickles, which may run code. They come from the archive whose hash `fetch` checks.
    return {name: numpy.load(data / file, allow_pickle=True)["stats"].item() for name, file in STATISTICS.items()}
