"""The combination rules written anew with numpy, in the straightforward way: the golden values of
tests/coordinator/core/aggregator_test.cc:  python3 tests/golden/combination.py
"""
import numpy as np

# Five sites, four coordinates; the base is zero. The last site is far away.
X = np.array([[1.25, 2.25, 1.75, 4.75], [1.75, 2, 3.5, 4.5], [0.5, 3, 3, 3.5], [1, 1, 3.5, 3.25], [-40, 60, 0.25, 80]])
P = np.array([0.1, 0.2, 0.3, 0.25, 0.15])


def trimmed_mean(x, b):
    return np.sort(x, axis=0)[b : len(x) - b].mean(axis=0)


def krum(x, f):
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    scores = [np.sort(np.delete(row, k))[: len(x) - f - 2].sum() for k, row in enumerate(squared)]
    return x[int(np.argmin(scores))]


def norm_clipped_mean(x, p, factor):
    norms = np.linalg.norm(x, axis=1)
    return (p * np.minimum(1, factor * np.median(norms) / norms)) @ x


def geometric_median(x):
    """By damped Newton steps on the sum of distances, not by Weiszfeld."""
    v = np.median(x, axis=0) + 0.01
    for _ in range(200):
        r = np.linalg.norm(x - v, axis=1)
        u = (v - x) / r[:, None]
        gradient = u.sum(axis=0)
        hessian = sum((np.eye(len(v)) - np.outer(a, a)) / b for a, b in zip(u, r))
        step, scale = np.linalg.solve(hessian, gradient), 1.0
        while np.linalg.norm(x - (v - scale * step), axis=1).sum() > r.sum() and scale > 1e-12:
            scale /= 2
        v = v - scale * step
    return v


for name, value in [("mean", P @ X), ("trimmed_mean 1", trimmed_mean(X, 1)), ("median", np.median(X, axis=0)),
                    ("krum 1", krum(X, 1)), ("norm_clipped_mean 2", norm_clipped_mean(X, P, 2)),
                    ("geometric_median", geometric_median(X))]:
    print(name, ", ".join(repr(float(x)) for x in value))
