"""timm's RandomErasing, Mixup, CutMix and drop path, against what our loader draws and hands to the graph."""

import random
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.numpy import load_file
from shared import ks_distance, ks_limit, ours
from table import Table
from timm.data import mixup, random_erasing
from timm.layers import drop_path

DRAWS, HEIGHT, WIDTH = 20_000, 56, 72
ERASING, RATES = 0.25, [0, 0.05, 0.1, 0.3]
STANDARD_ERRORS = 5
CUTS, ROWS, CLASSES, SMOOTHING = 5_000, 8, 7, 0.1
MIXES = {  # ours and timm's
    "mixup 0.8, cutmix 1": {"mixup": 0.8, "cutmix": 1, "probability": 1, "switchProbability": 0.5},
    "mixup 0.2, prob 0.7": {"mixup": 0.2, "cutmix": 0, "probability": 0.7, "switchProbability": 0.5},
    "cutmix 0.5": {"mixup": 0, "cutmix": 0.5, "probability": 1, "switchProbability": 0.5},
    "mixup 3, cutmix 2, switch 0.2": {"mixup": 3, "cutmix": 2, "probability": 0.9, "switchProbability": 0.2},
}
BOXES = ["area", "aspect", "place across", "place down"]


class Recorder:
    """An image that takes note of the box that is written to."""

    box = None

    def __setitem__(self, key, _):
        _, rows, columns = key
        self.box = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start


def erased_boxes():
    eraser = random_erasing.RandomErasing(probability=ERASING, mode="pixel", max_count=1, device="cpu")
    boxes = []
    with mock.patch.object(random_erasing, "_get_pixels", lambda *_, **__: None):
        for _ in range(DRAWS):
            image = Recorder()
            eraser._erase(image, 3, HEIGHT, WIDTH, torch.float32)
            boxes.append(image.box)
    return boxes


def measures(boxes):
    left, top, width, height = np.asarray(boxes, np.float64).T
    values = [width * height, width / height, left, top]
    return dict(zip(BOXES, values))


def standard_errors(first, second, draws):
    """Of the difference of two shares."""
    mean = (first + second) / 2
    return abs(first - second) / max(np.sqrt(2 * mean * (1 - mean) / draws), 1e-12)


def drawn_mixes(options):
    """timm's as rows of ours: whether, whether cut, λ of mixup or real, left, top and width of the box."""
    mixer = mixup.Mixup(options["mixup"], options["cutmix"], None, options["probability"], options["switchProbability"])
    rows = []
    for _ in range(DRAWS):
        lam, cuts = mixer._params_per_batch()
        if lam == 1:
            rows.append((0, 0, 1, 0, 0, 0))
        elif cuts:
            (yl, _, xl, xh), lam = mixup.cutmix_bbox_and_lam((3, HEIGHT, WIDTH), lam)
            rows.append((1, 1, lam, xl, yl, xh - xl))
        else:
            rows.append((1, 0, lam, 0, 0, 0))
    return np.asarray(rows, np.float64)


def judge_erasing(table, got):
    wanted = erased_boxes()
    found = got["boxes"]
    erased = [box for box in wanted if box]
    table.report("random erasing", "share, standard errors", standard_errors(found[:, 0].mean(), len(erased) / DRAWS, DRAWS))
    theirs, mine = measures(erased), measures(found[found[:, 0] == 1, 1:])
    for what in BOXES:
        limit = ks_limit(len(theirs[what]), len(mine[what]))
        table.report("random erasing", f"{what}, share of the limit", ks_distance(mine[what], theirs[what]) / limit)
    noise = got["noise"].ravel()
    limit = ks_limit(noise.size, noise.size)
    normal = torch.empty(noise.size).normal_().numpy()
    table.report("random erasing", "noise, share of the limit", ks_distance(noise, normal) / limit, f"{noise.size} numbers")


def judge_draws(table, got):
    for index, (name, options) in enumerate(MIXES.items()):
        theirs, mine = drawn_mixes(options), got[f"mixes.{index}"]
        errors = [standard_errors(mine[:, i].mean(), theirs[:, i].mean(), DRAWS) for i in (0, 1)]
        table.report(name, "shares mixed and cut, standard errors", max(errors))
        distances = []
        for cuts in (0, 1):
            a, b = (rows[(rows[:, 0] == 1) & (rows[:, 1] == cuts), 2:] for rows in (mine, theirs))
            if len(a) and len(b):
                columns = range(4 if cuts else 1)
                distances += [ks_distance(a[:, i], b[:, i]) / ks_limit(len(a), len(b)) for i in columns]
        table.report(name, "λ and boxes, share of the limit", max(distances))


def mixed(images, row):
    """What the graph does with a row of `mix`: the share of the batch backwards in each pixel."""
    share = row[1] * row[2 : 2 + HEIGHT, None] * row[2 + HEIGHT :]
    return images * (1 - share) + images.flip(0) * share


def judge_exactly(table, got, cuts):
    worst = 0
    for (lam, y, x), mine in zip(cuts, got["cuts"]):
        with mock.patch.object(np.random, "randint", side_effect=[y, x]):
            (yl, yh, xl, xh), real = mixup.cutmix_bbox_and_lam((3, HEIGHT, WIDTH), lam)
        worst = max(worst, np.abs(mine - (real, xl, yl, xh - xl, yh - yl)).max())
    table.report("cutmix boxes", "difference for given λ and centre", worst, f"{len(cuts)} boxes")
    images = torch.randn(5, 3, HEIGHT, WIDTH)
    labels = torch.tensor([3, 0, 6, 6, 1])
    once = mixup.mixup_target(labels, CLASSES, 1.0, SMOOTHING)
    for kind, is_cut in (("mixup", False), ("cutmix", True)):
        pixels = targets = 0
        for i in range(ROWS):
            row = torch.from_numpy(got[f"rows.{kind}.{i}"])
            lam, y, x = cuts[i]
            mixer = mixup.Mixup(1, 1, None, label_smoothing=SMOOTHING, num_classes=CLASSES)
            wanted = images.clone()
            with (
                mock.patch.object(mixer, "_params_per_batch", lambda: (lam, is_cut)),
                mock.patch.object(np.random, "randint", side_effect=[y, x]),
            ):
                real = mixer._mix_batch(wanted)
            pixels = max(pixels, (mixed(images, row) - wanted).abs().max())
            target = once * (1 - row[0]) + once.flip(0) * row[0]
            targets = max(targets, (target - mixup.mixup_target(labels, CLASSES, real, SMOOTHING)).abs().max())
        table.report(f"{kind}, five images", "largest difference of pixels", pixels)
        table.report(f"{kind}, five images", "largest difference of targets", targets)


def judge_drop_path(table, got):
    values = got["drop-path"].reshape(DRAWS, len(RATES), 2)
    errors, scales = [], []
    for block, rate in enumerate(RATES):
        theirs = drop_path(torch.ones(DRAWS, 1, dtype=torch.float64), rate, training=True).numpy()
        scales.append(abs(values[:, block].max() - theirs.max()))
        for residual in (0, 1):
            mine = values[:, block, residual] == 0
            errors.append(standard_errors(mine.mean(), (theirs == 0).mean(), DRAWS))
    table.report("drop path", "shares dropped, standard errors", max(errors))
    table.report("drop path", "difference of factors", max(scales))
    dropped = (values[:, -1] == 0).astype(float)
    correlation = abs(np.corrcoef(dropped.T)[0, 1]) * np.sqrt(DRAWS)
    table.report("drop path", "correlation of a block's two, standard errors", correlation)


def main(rows, folder):
    torch.manual_seed(3)
    np.random.seed(3)
    random.seed(3)
    torch.set_num_threads(1)
    table = Table("timm's mixing", rows)
    table.plan("random erasing", {
        "share, standard errors": STANDARD_ERRORS,
        **{f"{what}, share of the limit": 1 for what in [*BOXES, "noise"]},
    })
    for name in MIXES:
        table.plan(name, {"shares mixed and cut, standard errors": STANDARD_ERRORS, "λ and boxes, share of the limit": 1})
    table.plan("cutmix boxes", {"difference for given λ and centre": 0})
    for kind in ("mixup", "cutmix"):
        table.plan(f"{kind}, five images", {"largest difference of pixels": 1e-6, "largest difference of targets": 1e-6})
    table.plan("drop path", {
        "shares dropped, standard errors": STANDARD_ERRORS, "difference of factors": 1e-6,
        "correlation of a block's two, standard errors": STANDARD_ERRORS,
    })
    with table.measuring("all"):
        cuts = [
            (float(np.random.rand()), int(np.random.randint(HEIGHT)), int(np.random.randint(WIDTH))) for _ in range(CUTS)
        ]
        ours("mixing.mjs", folder, {
            "output": str(folder / "mixing.safetensors"), "draws": DRAWS, "size": [HEIGHT, WIDTH], "erasing": ERASING,
            "mixes": list(MIXES.values()), "cuts": cuts, "rowCount": ROWS, "rates": RATES,
        })
        got = load_file(folder / "mixing.safetensors")
        judge_erasing(table, got)
        judge_draws(table, got)
        judge_exactly(table, got, cuts)
        judge_drop_path(table, got)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
