"""Makes the feature sets of the MAUVE test, with the figures of the package `mauve-text`.

    pip install mauve-text==0.4.0 faiss-cpu scikit-learn && python make.py

Each `NAME.f16` holds the rows of p, then those of q, float16, little-endian. `mauve.json` holds their
shapes, and MAUVE and MAUVE* for some k-means seeds, computed from the features as float64.
"""

import json
from pathlib import Path

import numpy as np
from mauve import compute_mauve

HERE = Path(__file__).parent
SEEDS = list(range(25, 33))
# name: (rows of p, rows of q, width, seed, shift of q's centres, exponent that skews q's weights)
SETS = {
    "near": (800, 800, 32, 1, 0.10, 1.1),
    "medium": (1000, 700, 24, 2, 0.22, 1.5),
    "far": (400, 400, 16, 3, 1.60, 3.0),
}


def mixture(rng, n, centres, weights, scales):
    """Gaussians of unequal spread around unequally likely centres."""
    which = rng.choice(len(centres), size=n, p=weights)
    return centres[which] + rng.normal(size=(n, centres.shape[1])) * scales


def features(n_p, n_q, width, seed, shift, skew):
    rng = np.random.default_rng(seed)
    scales = 1.0 / (1.0 + 0.5 * np.arange(width))
    centres = rng.normal(size=(8, width)) * scales * 2.0 + 0.5
    weights = rng.dirichlet(np.ones(8) * 4.0)
    moved = centres + shift * rng.normal(size=centres.shape) * scales * 2.0
    skewed = weights**skew / np.sum(weights**skew)
    return mixture(rng, n_p, centres, weights, scales), mixture(rng, n_q, moved, skewed, scales)


def main():
    values = {}
    for name, (n_p, n_q, width, seed, shift, skew) in SETS.items():
        p, q = (x.astype("<f2") for x in features(n_p, n_q, width, seed, shift, skew))
        (HERE / f"{name}.f16").write_bytes(p.tobytes() + q.tobytes())
        p, q = p.astype(np.float64), q.astype(np.float64)
        scores = [compute_mauve(p_features=p, q_features=q, seed=s) for s in SEEDS]
        values[name] = {
            "p": n_p,
            "q": n_q,
            "width": width,
            "seeds": SEEDS,
            "mauve": [round(float(s.mauve), 6) for s in scores],
            "mauve_star": [round(float(s.mauve_star), 6) for s in scores],
        }
        print(name, values[name]["mauve"], np.std(values[name]["mauve"]))
    (HERE / "mauve.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
