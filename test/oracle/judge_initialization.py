"""torch's initialisers and transformers' position tables, against our fresh parameters.

Statistics are judged as shares of what chance allows: 1 is a deviation of five standard errors, or a
Kolmogorov–Smirnov distance that two samples of one distribution exceed once in a million times.
"""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from judge_transformers import sincos_table
from safetensors.numpy import load_file
from shared import grid, ks_distance, ks_limit, ours, parameter_shapes, preset, worst
from table import Table

SEEDS = 200
STANDARD_ERRORS = 5

MODEL = preset("mae_vit_small_patch16")
TOKENS = ("cls_token", "mask_token")
CONV_BIAS = "patch_embed.proj.bias"
STATISTICS = {"mean": 1, "deviation": 1, "distribution": 1}
LABELS = {
    "weight matrices, xavier_uniform_": STATISTICS | {"largest entry": 1, "correlation of layers": 1},
    "tokens, normal_(0, 0.02)": STATISTICS,
    "patch embedding's bias, Conv2d": STATISTICS | {"largest entry": 1},
    "other biases": {"largest entry": 0},
    "norm weights": {"largest distance from 1": 0},
    "position tables": {"largest difference": 1e-6},
}


def statistics(got, wanted, kurtosis):
    """Shares of what chance allows, where `wanted` is a sample of what it should be; kurtosis E(x−μ)⁴/σ⁴."""
    got = got.astype(np.float64).ravel()
    wanted = wanted.double().numpy().ravel()
    count = 1 / (1 / got.size + 1 / wanted.size)  # both are samples
    deviation = wanted.std()
    return {
        "mean": abs(got.mean() - wanted.mean()) / (STANDARD_ERRORS * deviation / math.sqrt(count)),
        "deviation": abs(got.std() / deviation - 1) / (STANDARD_ERRORS * math.sqrt((kurtosis - 1) / (4 * count))),
        "distribution": ks_distance(got, wanted) / ks_limit(got.size, wanted.size),
    }


def report_worst(table, label, measured):
    """`measured`: parameter -> statistic -> share."""
    for what in next(iter(measured.values())):
        name, error = worst({name: shares[what] for name, shares in measured.items()})
        table.report(label, what, error, name)


def main(rows, folder):
    torch.set_num_threads(1)
    torch.manual_seed(5)
    table = Table("initialisation", rows)
    for label, planned in LABELS.items():
        table.plan(label, planned)
    matrices, tokens, conv_bias, biases, norms, positions = LABELS
    with table.measuring("mae_vit_small_patch16"):
        ours("initialization.mjs", folder, {
            "model": MODEL, "seed": 7, "repeated": [*TOKENS, CONV_BIAS], "seeds": SEEDS,
            "output": str(folder / "fresh.safetensors"),
        })
        fresh = load_file(folder / "fresh.safetensors")
        names = parameter_shapes(MODEL)
        weights = [name for name in names if name.endswith("weight") and "norm" not in name]

        measured = {}
        for name in weights:
            got = fresh[name].reshape(fresh[name].shape[0], -1)  # the patch embedding as the matrix that it is
            wanted = torch.nn.init.xavier_uniform_(torch.empty(got.shape))
            fan_in, fan_out = torch.nn.init._calculate_fan_in_and_fan_out(wanted)
            shares = statistics(got, wanted, kurtosis=9 / 5)
            shares["largest entry"] = np.abs(got).max() / (math.sqrt(6 / (fan_in + fan_out)) * (1 + 1e-6))
            # against another tensor of its shape: every layer has numbers of its own
            others = [other for other in weights if other != name and fresh[other].size == fresh[name].size]
            limit = STANDARD_ERRORS / math.sqrt(got.size)
            correlations = [abs(np.corrcoef(got.ravel(), fresh[other].ravel())[0, 1]) for other in others[:2]]
            shares["correlation of layers"] = max(correlations, default=0) / limit
            measured[name] = shares
        report_worst(table, matrices, measured)

        report_worst(table, tokens, {
            name: statistics(fresh[f"repeated.{name}"], torch.nn.init.normal_(torch.empty(1_000_000), std=0.02), kurtosis=3)
            for name in TOKENS
        })

        convolution = [
            torch.nn.Conv2d(3, MODEL["embedDim"], MODEL["patchSize"], MODEL["patchSize"]).bias.detach()
            for _ in range(SEEDS)
        ]
        got = fresh[f"repeated.{CONV_BIAS}"]
        bound = 1 / math.sqrt(3 * MODEL["patchSize"] ** 2)
        shares = statistics(got, torch.cat(convolution), kurtosis=9 / 5)
        report_worst(table, conv_bias, {CONV_BIAS: shares | {"largest entry": np.abs(got).max() / (bound * (1 + 1e-6))}})

        table.report(biases, "largest entry", max(
            np.abs(fresh[name]).max() for name in names if name.endswith("bias") and name != CONV_BIAS
        ))
        table.report(norms, "largest distance from 1", max(
            np.abs(fresh[name] - 1).max() for name in names if "norm" in name and name.endswith("weight")
        ))
        table.report(positions, "largest difference", max(
            np.abs(fresh[name][0] - sincos_table(fresh[name].shape[-1], grid(MODEL))).max()
            for name in ("pos_embed", "decoder_pos_embed")
        ))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
