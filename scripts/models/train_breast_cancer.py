#!/usr/bin/env python3
"""Trains models/breast_cancer_v1.json on the Wisconsin Diagnostic Breast Cancer data that ships with scikit-learn.

    python3 -m venv .venv
    .venv/bin/pip install -r scripts/models/requirements.txt
    .venv/bin/python scripts/models/train_breast_cancer.py

Writes three files and prints the figures that models/README.md quotes:

    models/breast_cancer_v1.json                 the registry entry
    models/data/breast_cancer_heldout.csv        the 114 rows that training never saw, raw
    models/data/breast_cancer_heldout.json       scikit-learn's scores for those rows

With `--check` nothing is written; the exit code says whether the committed files are what the script makes.
Everything is deterministic: one seed, one solver, pinned versions.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split

SEED = 0
HELD_OUT = 114
# A scaled feature is (x - middle) / (width of the training range): training data lies in [-1/2, 1/2], and
# [-1, 1], which the client enforces, reaches half a training range further on either side.
SIGNIFICANT_DIGITS = 6
WEIGHT_DECIMALS = 1
CANDIDATES = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
ROOT = Path(__file__).resolve().parents[2]


def rounded(values, digits=SIGNIFICANT_DIGITS):
    return np.array([float(f"{value:.{digits - 1}e}") for value in values])


def regularization(scaled, labels):
    """The strongest regularization within one standard error of the best cross-validated accuracy."""
    folds = StratifiedKFold(n_splits=10, shuffle=True, random_state=SEED)
    scores = [cross_val_score(classifier(c), scaled, labels, cv=folds) for c in CANDIDATES]
    means = [score.mean() for score in scores]
    best = int(np.argmax(means))
    floor = means[best] - scores[best].std(ddof=1) / np.sqrt(len(scores[best]))
    chosen = next(i for i, mean in enumerate(means) if mean >= floor)
    return CANDIDATES[chosen], means[chosen]


def classifier(c):
    return LogisticRegression(C=c, solver="lbfgs", tol=1e-10, max_iter=100_000, random_state=SEED)


def slope(logits):
    """Least squares of the sigmoid by a line through (0, 1/2), kept inside [0, 1] over the given logits."""
    fitted = logits @ (1 / (1 + np.exp(-logits)) - 0.5) / (logits @ logits)
    return np.floor(1000 * min(fitted, 0.5 / np.abs(logits).max())) / 1000


def to_json(value):
    """Indented JSON with every array of numbers or strings on one line."""
    text = json.dumps(value, indent=2)
    return re.sub(r"\[[^\[\]{}]*\]", lambda array: re.sub(r"\s*\n\s*", " ", array.group()), text) \
        .replace("[ ", "[").replace(" ]", "]") + "\n"


def main():
    data = load_breast_cancer()
    names = [str(name).replace(" ", "_") for name in data.feature_names]
    labels = [str(name) for name in data.target_names]
    train, test, train_labels, test_labels = train_test_split(
        data.data, data.target, test_size=HELD_OUT, stratify=data.target, random_state=SEED)

    low, high = train.min(axis=0), train.max(axis=0)
    offset, factor = rounded((low + high) / 2), rounded(1 / (high - low))
    scaled_train, scaled_test = (train - offset) * factor, (test - offset) * factor
    reach_train, reach_test = np.abs(scaled_train).max(), np.abs(scaled_test).max()
    if reach_test > 1:
        raise SystemExit(f"a held-out row leaves the accepted range: {reach_test}")

    c, cross_validated = regularization(scaled_train, train_labels)
    model = classifier(c).fit(scaled_train, train_labels)
    unrounded = (model.predict(scaled_test) == test_labels).mean()
    model.coef_ = np.round(model.coef_, WEIGHT_DECIMALS) + 0.0
    model.intercept_ = np.round(model.intercept_, WEIGHT_DECIMALS) + 0.0
    train_logits, logits = model.decision_function(scaled_train), model.decision_function(scaled_test)
    coefficients = [0.5, float(slope(train_logits)), 0.0]
    values = coefficients[0] + coefficients[1] * logits
    accuracy = ((values >= 0.5) == (test_labels == 1)).mean()
    train_accuracy = ((train_logits >= 0) == (train_labels == 1)).mean()
    worst = np.abs(model.coef_).sum() + abs(model.intercept_[0])

    entry = {
        "model_id": "breast_cancer_v1",
        "version": "1.0.0",
        "description": "Logistic regression on the Wisconsin Diagnostic Breast Cancer data: is a tumor benign? "
                       "Its inputs are the 30 features scaled by (x - offset) * factor, as `inputs` publishes them; "
                       "a value of at least 0.5 reads benign.",
        "he_scheme": "CKKS",
        "inference": {"input_dimension": len(names), "output_dimension": 1, "activation": "polynomial_sigmoid_v1"},
        "parameters": {"weights": model.coef_[0].tolist(), "bias": float(model.intercept_[0])},
        "activation_parameters": {"kind": "polynomial_sigmoid_v1", "coefficients": coefficients},
        "constraints": {"max_batch_size": 1024},
        "publish_weights": True,
        "inputs": {
            "names": names,
            "offset": offset.tolist(),
            "factor": factor.tolist(),
            "minimum": [-1.0] * len(names),
            "maximum": [1.0] * len(names),
        },
        "outputs": {"labels": labels},
        "layouts": ["feature_columns", "coefficients"],
        "source": {
            "data": "Breast Cancer Wisconsin (Diagnostic): W. Wolberg, O. Mangasarian, N. Street, W. Street, 1993, "
                    "UCI Machine Learning Repository, https://doi.org/10.24432/C5DW2B, as shipped with scikit-learn",
            "license": "data CC BY 4.0; scikit-learn BSD-3-Clause",
            "method": f"scikit-learn LogisticRegression, C = {c:g}, trained on {len(train)} of {len(data.data)} rows, "
                      f"weights rounded to {WEIGHT_DECIMALS} decimal; scripts/models/train_breast_cancer.py",
            "accuracy": f"{accuracy:.4f} on {len(test)} held-out rows, {train_accuracy:.4f} on the training rows",
        },
    }
    rows = [",".join(names + ["label"])]
    rows += [",".join([repr(float(x)) for x in row] + [labels[label]]) for row, label in zip(test, test_labels)]
    scores = {
        "description": "scikit-learn's decision_function of the published (rounded) model on the scaled rows of "
                       "breast_cancer_heldout.csv, and the model's value, the registry polynomial of it",
        "accuracy": float(accuracy),
        "decision_function": logits.tolist(),
        "value": values.tolist(),
    }
    files = {
        ROOT / "models/breast_cancer_v1.json": to_json(entry),
        ROOT / "models/data/breast_cancer_heldout.csv": "\n".join(rows) + "\n",
        ROOT / "models/data/breast_cancer_heldout.json": json.dumps(scores, indent=1) + "\n",
    }
    print(f"rows {len(train)} train, {len(test)} held out; largest |scaled feature| {reach_train:.4f} train, "
          f"{reach_test:.4f} held out")
    print(f"C {c:g}, accuracy {cross_validated:.4f} cross-validated, {train_accuracy:.4f} train, {accuracy:.4f} "
          f"held out ({unrounded:.4f} before rounding)")
    print(f"logits {train_logits.min():.3f} .. {train_logits.max():.3f} train, {logits.min():.3f} .. "
          f"{logits.max():.3f} held out, nearest to the threshold {np.abs(logits).min():.4f}, "
          f"at most {worst:.1f} for any accepted input")
    print(f"coefficients {coefficients}, values {values.min():.3f} .. {values.max():.3f} held out")
    if "--check" in sys.argv[1:]:
        stale = [path.name for path, text in files.items() if path.read_text() != text]
        raise SystemExit(f"not what the script makes: {', '.join(stale)}" if stale else 0)
    for path, text in files.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
