"""torchvision's RandomResizedCrop, flip and bicubic resize on Pillow images, against our data path."""

import math
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file
from shared import ROOT, ks_distance, ks_limit, ours
from table import Table
from torchvision.transforms import CenterCrop, InterpolationMode, RandomResizedCrop, Resize
from torchvision.transforms.functional import hflip, resized_crop

SCALE, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)  # of the published recipe
DRAWS = 20_000
STANDARD_ERRORS = 5
SIZES = [(500, 375), (375, 500), (300, 60), (60, 170)]  # width, height; of the narrow ones many draws do not fit
PHOTOGRAPHS = ROOT.parent / "shared" / "data" / "clothing"
PHOTOGRAPH_COUNT, PHOTOGRAPH_SIDE = 100, 96

PIXELS = "bicubic pixels, PNG"
SCALED = "pixels, JPEG scaled while decoded"
MIDDLE = "middle for evaluation, 224 of 256"
# torchvision rounds the longer side of the resized picture and the place of the middle; of these they are whole
EVALUATED = [(224, 224), (450, 300), (256, 512), (600, 300), (96, 96), (75, 50), (1024, 1280)]
ONE_DRAW = {"scale": [0.08, 1], "ratio": [3 / 4, 4 / 3], "tries": 1}  # of the published linear probe


def size_label(size):
    return f"crops of {size[0]}×{size[1]}"


def crop(width, height):
    """torchvision's draw as left, top, width, height."""
    top, left, crop_height, crop_width = RandomResizedCrop.get_params(torch.empty(3, height, width), SCALE, RATIO)
    return left, top, crop_width, crop_height


def one_draw(width, height, rng):
    """Without tries: what does not fit is clipped."""
    area = width * height * rng.uniform(*ONE_DRAW["scale"], DRAWS)
    aspect = np.exp(rng.uniform(*np.log(ONE_DRAW["ratio"]), DRAWS))
    crop_width = np.minimum(np.rint(np.sqrt(area * aspect)), width)
    crop_height = np.minimum(np.rint(np.sqrt(area / aspect)), height)
    left, top = rng.integers(0, width - crop_width + 1), rng.integers(0, height - crop_height + 1)
    return np.stack([left, top, crop_width, crop_height], axis=-1)


def middles(files):
    """uint8 [files, 224, 224, 3]: the middle 224 of 256 pixels of the shorter side."""
    results = []
    for file in files:
        with Image.open(file) as image:
            results.append(np.asarray(CenterCrop(224)(Resize(256, InterpolationMode.BICUBIC)(image.convert("RGB")))))
    return np.stack(results)


def measures(crops, width, height):
    left, top, crop_width, crop_height = np.asarray(crops, np.float64).T
    return {
        "area": crop_width * crop_height / (width * height),
        "aspect": crop_width / crop_height,
        "place across": left / width,
        "place down": top / height,
    }


def draw_pictures(folder, name, sizes, rng):
    """PNG files of several sizes (width, height): edges, waves and noise."""
    files = []
    for index, (width, height) in enumerate(sizes):
        y, x = np.mgrid[0:height, 0:width]
        waves = 90 * np.sin(x / rng.uniform(2, 40)) * np.cos(y / rng.uniform(2, 40))
        disc = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (min(width, height) / 3) ** 2
        channels = [128 + waves, 255 * disc, 255 * x / width]
        image = np.stack(channels, axis=-1) + rng.normal(0, 12, (height, width, 3))
        files.append(folder / f"{name}-{index}.png")
        Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8)).save(files[-1])
    return files


def boxes(files, count):
    """`count` random crops of each file, every other one flipped."""
    items = []
    for file in files:
        with Image.open(file) as image:
            items += [{"file": str(file), "box": crop(*image.size), "flip": bool(i % 2)} for i in range(count)]
    return items


def photographs():
    """JPEG files whose crops are large enough for the decoder to halve them; the reason why there are none."""
    if not PHOTOGRAPHS.is_dir():
        return [], "no folder of photographs"
    items = []
    files = sorted(path for path in PHOTOGRAPHS.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    for file in files[:: max(1, len(files) // (2 * PHOTOGRAPH_COUNT))]:
        with Image.open(file) as image:
            box = crop(*image.size)
            usable = image.format == "JPEG" and image.mode == "RGB"
        if usable and min(box[2:]) >= 2 * PHOTOGRAPH_SIDE and len(items) < PHOTOGRAPH_COUNT:
            items.append({"file": str(file), "box": box, "flip": False})
    return items, "" if items else "no photograph is large enough"


def theirs(items, side):
    """uint8 [items, side, side, 3]: decoded whole by Pillow, cropped, resized, flipped."""
    results = []
    for item in items:
        left, top, width, height = item["box"]
        with Image.open(item["file"]) as image:
            size = [side, side]
            picture = resized_crop(image.convert("RGB"), top, left, height, width, size, InterpolationMode.BICUBIC)
        results.append(np.asarray(hflip(picture) if item["flip"] else picture))
    return np.stack(results)


def scaled_by_pillow(items, side, scales):
    """The same by Pillow's draft mode, which has libjpeg scale the picture while it decodes it."""
    results = []
    for item, scale in zip(items, scales):
        left, top, width, height = (edge / scale for edge in item["box"])
        with Image.open(item["file"]) as image:
            full = image.size
            image.draft("RGB", tuple(length // int(scale) for length in full))
            assert math.ceil(full[0] / scale) == image.width, "expected Pillow to scale as we do"
            box = (left, top, min(left + width, image.width), min(top + height, image.height))
            results.append(np.asarray(image.resize((side, side), Image.Resampling.BICUBIC, box=box)))
    return np.stack(results)


def main(rows, folder):
    torch.set_num_threads(1)
    torch.manual_seed(6)
    table = Table("augmentation", rows)
    limit = ks_limit(DRAWS, DRAWS)
    for size in SIZES:
        for label in (size_label(size), f"{size_label(size)}, one try"):
            table.plan(label, dict.fromkeys(["area", "aspect", "place across", "place down"], limit))
    flip_limit = STANDARD_ERRORS * math.sqrt(0.25 / (DRAWS * len(SIZES)))
    table.plan("flips", {"rate − ½": flip_limit})
    table.plan(PIXELS, {"share off by more than 1 level": 0.01})
    table.plan(MIDDLE, {"share off by more than 1 level": 0.01})
    photos, reason = photographs()
    if reason:
        table.skip(SCALED, "mean difference in levels", reason)
    else:
        table.plan(SCALED, {"mean difference in levels": 2, "worst, from Pillow's draft": 1})

    with table.measuring("all"):
        sizes = [(640, 480), (300, 400), (224, 224), (97, 131), (1200, 900)]
        pictures = boxes(draw_pictures(folder, "picture", sizes, np.random.default_rng(6)), 8)
        evaluated = draw_pictures(folder, "evaluated", EVALUATED, np.random.default_rng(7))
        ours("augmentation.mjs", folder, {
            "sizes": SIZES, "draws": DRAWS, "output": str(folder / "augmentation.safetensors"), "oneDraw": ONE_DRAW,
            "evaluation": {"files": list(map(str, evaluated)), "side": 224, "share": 0.875},
            "pixels": [{"items": pictures, "side": 112}, {"items": photos, "side": PHOTOGRAPH_SIDE}],
        })
        got = load_file(folder / "augmentation.safetensors")

        for index, (width, height) in enumerate(SIZES):
            wanted = measures([crop(width, height) for _ in range(DRAWS)], width, height)
            for what, values in measures(got[f"crops.{index}"], width, height).items():
                table.report(size_label((width, height)), what, ks_distance(values, wanted[what]))
            wanted = measures(one_draw(width, height, np.random.default_rng(index)), width, height)
            for what, values in measures(got[f"crops.one.{index}"], width, height).items():
                table.report(f"{size_label((width, height))}, one try", what, ks_distance(values, wanted[what]))
        flips = np.concatenate([got[f"flips.{index}"] for index in range(len(SIZES))])
        table.report("flips", "rate − ½", abs(flips.mean() - 0.5), f"rate {flips.mean():.4f}")

        differences = np.abs(got["evaluation"].astype(int) - middles(evaluated))
        table.report(
            MIDDLE, "share off by more than 1 level", (differences > 1).mean(),
            f"largest {differences.max()} levels, equal {100 * (differences == 0).mean():.2f}%",
        )

        differences = np.abs(got["pixels.0"].astype(int) - theirs(pictures, 112))
        assert (got["scale.0"] == 1).all()
        table.report(
            PIXELS, "share off by more than 1 level", (differences > 1).mean(),
            f"largest {differences.max()} levels, equal {100 * (differences == 0).mean():.2f}%",
        )
        if photos:
            assert (got["scale.1"] >= 2).all(), "expected the decoder to scale every one of these crops"
            ours_scaled = got["pixels.1"].astype(int)
            each = np.abs(ours_scaled - theirs(photos, PHOTOGRAPH_SIDE)).mean(axis=(1, 2, 3))
            table.report(
                SCALED, "mean difference in levels", each.mean(),
                f"{len(photos)} photographs, {(each >= 2).sum()} of them above 2, the worst {each.max():.2f}",
            )
            scaled = scaled_by_pillow(photos, PHOTOGRAPH_SIDE, got["scale.1"])
            each = np.abs(ours_scaled - scaled).mean(axis=(1, 2, 3))
            table.report(SCALED, "worst, from Pillow's draft", each.max(), f"mean {each.mean():.2f}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
