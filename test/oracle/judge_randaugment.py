"""timm's RandAugment with Pillow, against ours: each operator's pixels, its arguments, what policies draw."""

import math
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file, save_file
from shared import ROOT, ks_distance, ks_limit, ours
from table import Table
from timm.data import auto_augment

FILL = (124, 116, 104)  # of create_transform: round(255 · mean)
ARGUMENTS = {"fillcolor": FILL, "resample": Image.Resampling.BICUBIC}
NAMES = sorted(set(auto_augment._RAND_TRANSFORMS) | set(auto_augment._RAND_INCREASING_TRANSFORMS) | {"PosterizeOriginal"})
POLICIES = ["rand-m9-mstd0.5-inc1", "rand-m7-n3-mstd200-p0.8", "rand-m15-mmax20-mstd2-inc1-p1.0", "rand-m5-n3-mstd1-tweights"]
MAGNITUDES = [0, 0.5, 3, 7.25, 9, 9.9, 10, 15, 30]  # above 10 with mmax; 30 turns by 90°
DRAWS, SIGNS = 20_000, 64
STANDARD_ERRORS = 5
SIZES = [(224, 224), (64, 64), (61, 97), (3, 5), (1, 4), (2, 2)]  # height, width
PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "clothing"
PHOTOGRAPH_COUNT = 6


def pictures():
    """Name -> uint8 [height, width, 3]: waves, noise, few levels, one colour, photographs."""
    rng = np.random.default_rng(7)
    made = {}
    for height, width in SIZES:
        y, x = np.mgrid[0:height, 0:width]
        waves = np.stack([128 + 90 * np.sin(x / 17) * np.cos(y / 23), 255 * x / width, 80 + 60 * (y > height / 3)], axis=-1)
        size = f"{height}×{width}"
        made[f"waves {size}"] = np.clip(np.rint(waves + rng.normal(0, 6, waves.shape)), 0, 255).astype(np.uint8)
        made[f"noise {size}"] = rng.integers(0, 256, (height, width, 3), np.uint8)
    made["black and white"] = 255 * rng.integers(0, 2, (64, 64, 3), np.uint8)
    made["one colour"] = np.full((32, 32, 3), (17, 200, 255), np.uint8)
    made["dark"] = rng.integers(40, 60, (64, 64, 3), np.uint8)
    for file in sorted(PHOTOGRAPHS.rglob("*.jpg"))[:: 300][:PHOTOGRAPH_COUNT]:
        with Image.open(file) as image:
            made[file.name] = np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC))
    return made


def arguments_of(name, magnitude):
    """Every argument that timm may choose; one with a sign has two."""
    level = auto_augment.LEVEL_TO_ARG[name]
    if level is None:
        return [0.0]
    return sorted({float(level(magnitude, {})[0]) for _ in range(SIGNS)})


def pillow(picture, name, argument):
    given = () if auto_augment.LEVEL_TO_ARG[name] is None else (argument,)
    if name.startswith(("Posterize", "Solarize")):
        given = (int(argument),)
    return np.asarray(auto_augment.NAME_TO_OP[name](Image.fromarray(picture), *given, **ARGUMENTS))


def is_refused(name, argument):
    """Pillow 13 refuses to keep no bits, which timm asks for at the highest magnitude; ours gives black."""
    return name.startswith("Posterize") and argument < 1


class Blank:
    """A picture for operators that only record their arguments."""

    size = (224, 224)


def draws_of(policy):
    """timm's: name -> arguments of all draws, and the number of operators of each draw."""
    found = []
    transform = auto_augment.rand_augment_transform(policy, {"img_mean": FILL, "interpolation": Image.Resampling.BICUBIC})
    for op in transform.ops:
        def record(image, *level, _name=op.name, **_):
            found.append((_name, float(level[0]) if level else 0.0))
            return image
        op.aug_fn = record
    counts = []
    for _ in range(DRAWS):
        before = len(found)
        transform(Blank())
        counts.append(len(found) - before)
    return found, counts


def judge_policies(table, got):
    limit = ks_limit(DRAWS, DRAWS)
    for index, policy in enumerate(POLICIES):
        rows = got[f"policies.{index}"]
        wanted, wanted_counts = draws_of(policy)
        counts = np.bincount(rows[:, 0].astype(int), minlength=DRAWS)
        table.report(policy, "operators a picture", ks_distance(counts, wanted_counts))
        names = Counter(name for name, _ in wanted)
        ours_names = Counter(NAMES[int(place)] for place in rows[:, 1])
        # of a difference of two counts, in standard errors
        apart = {n: abs(names[n] - ours_names[n]) / math.sqrt(names[n] + ours_names[n]) for n in names | ours_names}
        worst = max(apart, key=apart.get)
        table.report(policy, "share of each operator, standard errors", apart[worst], worst)
        distances = {}
        for name in names:
            theirs = [argument for each, argument in wanted if each == name]
            mine = rows[rows[:, 1] == NAMES.index(name), 2]
            distances[name] = ks_distance(mine, theirs) / ks_limit(len(mine), len(theirs))
        worst = max(distances, key=distances.get)
        table.report(policy, "arguments, share of the limit", distances[worst], worst)


def main(rows, folder):
    random.seed(5)
    np.random.seed(5)
    table = Table("RandAugment", rows)
    for name in NAMES:
        table.plan(name, {"arguments that differ": 0, "pixels that differ": 0})
    for policy in POLICIES:
        table.plan(policy, {
            "operators a picture": ks_limit(DRAWS, DRAWS),
            "share of each operator, standard errors": STANDARD_ERRORS,
            "arguments, share of the limit": 1,
        })
    with table.measuring("all"):
        made = pictures()
        save_file(made, folder / "pictures.safetensors")
        levels = [{"name": name, "magnitude": m, "draws": SIGNS} for name in NAMES for m in MAGNITUDES]
        operations = [
            {"picture": picture, "name": name, "argument": argument}
            for name in NAMES
            for argument in sorted({a for m in MAGNITUDES for a in arguments_of(name, m)})
            if not is_refused(name, argument)
            for picture in made
        ]
        ours("randaugment.mjs", folder, {
            "output": str(folder / "randaugment.safetensors"), "pictures": str(folder / "pictures.safetensors"),
            "operations": operations, "arguments": levels, "policies": POLICIES, "names": NAMES, "draws": DRAWS,
        })
        got = load_file(folder / "randaugment.safetensors")
        different, pixels, compared = Counter(), Counter(), Counter()
        for index, level in enumerate(levels):
            wanted = arguments_of(level["name"], level["magnitude"])
            different[level["name"]] += sorted(set(got[f"arguments.{index}"].tolist())) != wanted
        for index, operation in enumerate(operations):
            wanted = pillow(made[operation["picture"]], operation["name"], operation["argument"])
            wrong = (got[f"operations.{index}"] != wanted).any(axis=-1)
            pixels[operation["name"]] += int(wrong.sum())
            compared[operation["name"]] += wrong.size
            if wrong.any():
                print(operation, wrong.sum(), "of", wrong.size)
        for name in NAMES:
            table.report(name, "arguments that differ", different[name])
            table.report(name, "pixels that differ", pixels[name], f"of {compared[name]}")
        judge_policies(table, got)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
