"""scikit-learn's kNN, logistic regression and StandardScaler, numpy's singular values, on the same features."""

import sys
import warnings
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy.special import logsumexp
from shared import ours, relative
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from table import Table

KS, TEMPERATURE = [10, 20, 100, 200], 0.07
CS = [1e-4, 1e-2, 1, 100]
# name: classes, width, pictures to train on and to judge; the last have fewer pictures than numbers
SETS = {
    "ten classes": (10, 192, 3000, 2000),
    "two classes": (2, 64, 1000, 2000),
    "fewer rows than columns": (5, 384, 100, 2000),
}
STANDARD, RANK = "standardised, relative", "RankMe, relative"


def votes_row(k):
    return f"kNN, k {k}: other predictions"


def fit_rows(C):
    return f"C {C:g}: objective, relative", f"C {C:g}: share of other predictions"


def draw(rng, classes, size, counts):
    """float32 features as an encoder has them: few directions hold most, classes differ in some of the others."""
    strength = 3 / (1 + np.arange(48) / 4)
    mix = strength[:, None] * rng.standard_normal((48, size))
    centres = 0.7 * rng.standard_normal((classes, 48)) * (np.arange(48) >= 6)
    sets = []
    for count in counts:
        labels = rng.integers(0, classes, count)
        values = 4 + (centres[labels] + 1.2 * rng.standard_normal((count, 48))) @ mix + rng.standard_normal((count, size))
        values[:, size // 2] = 0.3  # a constant column
        sets.append((values.astype(np.float32), labels))
    return sets


def objective(weights, bias, x, labels, C):
    """Of one row of weights a class; of two classes scikit-learn has the difference of both, of twice our penalty."""
    logits = x.astype(np.float64) @ weights.T + bias
    loss = (logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]).mean()
    return loss + (2 if len(bias) == 2 else 1) * (weights**2).sum() / (2 * C * len(labels))


def two_rows(weights, bias):
    if len(bias) > 1:
        return weights, bias
    return np.vstack([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2


def judge_fits(table, name, got, train, labels, val):
    for index, C in enumerate(CS):
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            model = LogisticRegression(C=C, tol=1e-7, max_iter=50_000).fit(train.astype(np.float64), labels)
        wanted = objective(*two_rows(model.coef_, model.intercept_), train, labels, C)
        weights, bias = got[f"{name}.weights.{index}"], got[f"{name}.bias.{index}"]
        reached = objective(weights, bias, train, labels, C)
        predictions = (val.astype(np.float64) @ weights.T + bias).argmax(1)
        loss_row, predictions_row = fit_rows(C)
        told = got[f"{name}.loss"][index]
        error = max(abs(reached / wanted - 1), abs(told / wanted - 1))
        table.report(name, loss_row, error, f"{wanted:.6f}, {got[f'{name}.seconds'][index]:.1f} s")
        table.report(name, predictions_row, (predictions != model.predict(val)).mean())


def judge_votes(table, name, got, train, labels, val):
    for k in KS:
        near = min(k, len(train))
        weights = lambda distances: np.exp((1 - distances) / TEMPERATURE)
        model = KNeighborsClassifier(near, metric="cosine", algorithm="brute", weights=weights)
        wanted = model.fit(train.astype(np.float64), labels).predict(val.astype(np.float64))
        table.report(name, votes_row(k), (got[f"{name}.votes.{k}"].argmax(1) != wanted).sum())


def rank_me(x):
    singular = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    p = singular / singular.sum() + 1e-7
    return np.exp(-(p * np.log(p)).sum())


def main(rows, folder):
    table = Table("probes", rows)
    for name in SETS:
        table.plan(name, {STANDARD: 1e-6, RANK: 1e-5} | dict.fromkeys(map(votes_row, KS), 0))
        for C in CS:
            table.plan(name, dict(zip(fit_rows(C), (1e-4, 0.005))))
    rng = np.random.default_rng(8)
    tensors, drawn = {}, {}
    for name, (classes, size, *counts) in SETS.items():
        drawn[name] = draw(rng, classes, size, counts)
        for part, (values, labels) in zip(("train", "val"), drawn[name]):
            tensors |= {f"{name}.{part}": values, f"{name}.{part}_labels": labels.astype(np.int64)}
    save_file(tensors, folder / "probes-input.safetensors")
    ours("probes.mjs", folder, {
        "input": str(folder / "probes-input.safetensors"), "output": str(folder / "probes.safetensors"),
        "sets": [
            {"name": name, "classes": classes, "Cs": CS, "ks": KS, "temperature": TEMPERATURE}
            for name, (classes, *_) in SETS.items()
        ],
    })
    got = load_file(folder / "probes.safetensors")
    for name, ((raw, labels), (val, _)) in drawn.items():
        with table.measuring(name):
            scaler = StandardScaler().fit(raw.astype(np.float64))
            table.report(name, STANDARD, max(
                relative(got[f"{name}.{part}"], scaler.transform(x.astype(np.float64)))
                for part, x in (("train", raw), ("val", val))
            ))
            wanted = rank_me(raw)
            table.report(name, RANK, abs(got[f"{name}.rank_me"][0] / wanted - 1), f"{wanted:.3f}")
            # on what we standardised: the solvers are judged, not float32
            train, val = got[f"{name}.train"], got[f"{name}.val"]
            judge_votes(table, name, got, train, labels, val)
            judge_fits(table, name, got, train, labels, val)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
