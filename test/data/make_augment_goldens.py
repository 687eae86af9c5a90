"""Writes goldens/augment.*: what timm and Pillow make of small pictures. Run: python test/data/make_augment_goldens.py && npx biome check --write test/data

Needs pillow, numpy, scipy, torch and timm (test/oracle/requirements.txt), and photo.rgb and noise.rgb of make_goldens.py.
augment.rgb holds the sources, then the results, [height, width, 3] bytes each; augment.json says which.
"""

import json
import random
from pathlib import Path
from unittest import mock

import numpy as np
import PIL
import scipy
import timm
from PIL import Image
from scipy.stats import beta
from timm.data import auto_augment, mixup

SEED = 8
OUT = Path(__file__).parent / "goldens"
MAGNITUDES = [0, 2.5, 9, 9.9, 10, 15, 30]
ARGUMENTS = {"fillcolor": (124, 116, 104), "resample": Image.Resampling.BICUBIC}
NAMES = [*dict.fromkeys([*auto_augment._RAND_TRANSFORMS, *auto_augment._RAND_INCREASING_TRANSFORMS, "PosterizeOriginal"])]
random.seed(SEED)
rng = np.random.default_rng(SEED)


def read(name, height, width):
    return Image.frombytes("RGB", (width, height), (OUT / name).read_bytes())


sources = {
    "photo": read("photo.rgb", 97, 131).resize((21, 15)),
    "square": read("photo.rgb", 97, 131).crop((20, 20, 90, 90)).resize((16, 16)),
    "noise": read("noise.rgb", 40, 50).crop((0, 0, 7, 9)),
    "dark": Image.fromarray(rng.integers(40, 60, (8, 40, 3), np.uint8)),
}


def arguments(name, magnitude):
    """All that timm may choose: a sign makes two."""
    level = auto_augment.LEVEL_TO_ARG[name]
    return [0] if level is None else sorted({level(magnitude, {})[0] for _ in range(64)})


operations, pixels = [], [np.asarray(source) for source in sources.values()]
for name in NAMES:
    for argument in sorted({each for magnitude in (2.5, 9, 30) for each in arguments(name, magnitude)}):
        if name.startswith("Posterize") and argument < 1:
            continue  # Pillow 13 refuses what earlier ones made black
        given = () if auto_augment.LEVEL_TO_ARG[name] is None else (argument,)
        for source in ("dark", "square") if name in ("AutoContrast", "Equalize") else [rng.choice(["photo", "noise", "square"])]:
            result = auto_augment.NAME_TO_OP[name](sources[source], *given, **ARGUMENTS)
            operations.append({"source": str(source), "name": name, "argument": argument})
            pixels.append(np.asarray(result))

cuts = []
for height, width in ((16, 16), (9, 14), (224, 224)):
    for _ in range(8):
        lam, y, x = float(rng.random()), int(rng.integers(height)), int(rng.integers(width))
        with mock.patch.object(np.random, "randint", side_effect=[y, x]):
            (yl, yh, xl, xh), real = mixup.cutmix_bbox_and_lam((3, height, width), lam)
        box = {"left": int(xl), "top": int(yl), "width": int(xh - xl), "height": int(yh - yl)}
        cuts.append({"height": height, "width": width, "lambda": lam, "centre": {"y": y, "x": x}, "box": box, "real": float(real)})

QUANTILES = [0.001, 0.05, 0.25, 0.5, 0.9, 0.999]
index = {
    "sources": {name: {"height": image.height, "width": image.width} for name, image in sources.items()},
    "operations": operations,
    "arguments": [
        {"name": name, "magnitude": magnitude, "values": arguments(name, magnitude)} for name in NAMES for magnitude in MAGNITUDES
    ],
    "cuts": cuts,
    "beta": [
        {"a": a, "b": b, "quantiles": [[q, float(v)] for q in QUANTILES if 1e-300 < (v := beta.ppf(q, a, b)) < 1 - 1e-9]}
        for a, b in ((0.8, 0.8), (1, 1), (0.1, 0.1), (0.02, 0.02), (2.5, 2.5), (0.5, 3))
    ],
    "versions": {"pillow": PIL.__version__, "timm": timm.__version__, "scipy": scipy.__version__, "seed": SEED},
}
(OUT / "augment.json").write_text(json.dumps(index, indent=1) + "\n")
(OUT / "augment.rgb").write_bytes(b"".join(each.tobytes() for each in pixels))
print(len(operations), "operations,", sum(each.nbytes for each in pixels), "bytes of pixels")
