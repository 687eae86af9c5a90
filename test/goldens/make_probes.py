"""What scikit-learn and numpy say of small sets of features: probes.safetensors, probes.json.

    OMP_NUM_THREADS=1 python test/goldens/make_probes.py

Run by the environment of test/oracle (requirements.txt there), whose versions the JSON names.
"""

import json
import platform
from pathlib import Path

import numpy as np
import sklearn
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

SEED, TEMPERATURE = 20, 0.07
KS = [10, 20, 100, 200]
CS = [0.01, 1, 100]
HERE = Path(__file__).resolve().parent


def draw(rng, classes, size, counts):
    """Sets of rows around one centre a class; columns of several scales, one of them constant."""
    centres = rng.standard_normal((classes, size))
    scales = np.exp(rng.standard_normal(size))
    sets = []
    for count in counts:
        labels = rng.integers(0, classes, count)
        values = 5 + scales * (centres[labels] + 1.3 * rng.standard_normal((count, size)))
        values[:, 3] = 0.1
        sets.append((values.astype(np.float32), labels))
    return sets


def knn(train, labels, val, k):
    """The votes of each class, normalised."""
    k = min(k, len(train))
    model = KNeighborsClassifier(k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / TEMPERATURE))
    return model.fit(train, labels).predict_proba(val)


def top(votes, labels, k):
    """The share of rows with fewer than k classes above their own, which has a vote."""
    own = votes[np.arange(len(labels)), labels][:, None]
    return float(((own[:, 0] > 0) & ((votes > own).sum(1) < k)).mean())


def logistic(train, labels, val, C):
    model = LogisticRegression(C=C, tol=1e-9, max_iter=100_000).fit(train.astype(np.float64), labels)
    logits = train.astype(np.float64) @ model.coef_.T + model.intercept_
    if logits.shape[1] == 1:
        logits = np.hstack([-logits / 2, logits / 2])
    losses = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
    losses -= logits[np.arange(len(labels)), labels]
    objective = losses.mean() + (model.coef_**2).sum() / (2 * C * len(labels))
    return {"C": C, "loss": objective, "predictions": model.predict(val).tolist()}


def rank_me(x):
    singular = np.linalg.svd(x.astype(np.float64), compute_uv=False)
    p = singular / singular.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def main():
    rng = np.random.default_rng(SEED)
    tensors, goldens = {}, {}
    for name, classes in [("seven", 7), ("two", 2)]:
        (train, labels), (val, val_labels) = draw(rng, classes, 12, [150, 100])
        scaler = StandardScaler().fit(train)
        scaled, val_scaled = (scaler.transform(x).astype(np.float32) for x in (train, val))
        tensors |= {
            f"{name}.train": train, f"{name}.train_labels": labels.astype(np.int64),
            f"{name}.val": val, f"{name}.val_labels": val_labels.astype(np.int64),
            f"{name}.train_scaled": scaled, f"{name}.val_scaled": val_scaled,
        }
        with_zeros = scaled.copy()
        with_zeros[17] = 0
        votes = {k: knn(with_zeros, labels, val_scaled, k) for k in KS}
        goldens[name] = {
            "classes": classes,
            "zeroRow": 17,
            "knn": {k: {"top1": top(v, val_labels, 1), "top5": top(v, val_labels, 5)} for k, v in votes.items()},
            "logistic": [logistic(scaled, labels, val_scaled, C) for C in CS],
            "rankMe": {"train": rank_me(train), "firstNine": rank_me(train[:9])},
        }
    numbers = rng.uniform(0.5, 1, 5).tolist()
    goldens["deviation"] = {"of": numbers, "mean": float(np.mean(numbers)), "sd": float(np.std(numbers, ddof=1))}
    goldens["versions"] = {"python": platform.python_version(), "numpy": np.__version__, "scikit-learn": sklearn.__version__}
    save_file(tensors, HERE / "probes.safetensors")
    (HERE / "probes.json").write_text(json.dumps(goldens) + "\n")


if __name__ == "__main__":
    main()
