"""Writes goldens/: what Pillow and torchvision make of synthetic pictures. Run: python test/data/make_goldens.py && npx biome check --write test/data

Needs pillow, numpy, torch and torchvision; goldens/versions.json records theirs and the seed. Pixels are stored
raw, [height, width, 3] bytes, so that reading them back needs no decoder.
"""

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.features
import torch
import torchvision
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode, RandomResizedCrop
from torchvision.transforms.functional import resized_crop

SEED = 20240501
OUT = Path(__file__).parent / "goldens"
OUT.mkdir(exist_ok=True)
rng = np.random.default_rng(SEED)


def picture(height, width, noise=6.0):
    """Gradients, edges and a little noise, as photographs have them."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 128 + 90 * np.sin(x / 17) * np.cos(y / 23)
    green = 255 * x / max(width - 1, 1)
    blue = 255 * (((x - width / 2) ** 2 + (y - height / 2) ** 2) < (min(height, width) / 3) ** 2)
    image = np.stack([red, green, blue], axis=-1) + rng.normal(0, noise, (height, width, 3))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def write_rgb(name, image):
    (OUT / name).write_bytes(np.asarray(image.convert("RGB")).tobytes())


# Resampling: Pillow's resize with a box.
shapes = {"photo": picture(97, 131), "tiny": picture(2, 3), "noise": rng.integers(0, 256, (40, 50, 3), np.uint8)}
for name, array in shapes.items():
    (OUT / f"{name}.rgb").write_bytes(array.tobytes())
cases = [  # source, box (left, top, right, bottom), output (height, width)
    ("photo", (0, 0, 131, 97), (64, 64)),
    ("photo", (10.25, 7.5, 90.75, 60.125), (48, 32)),
    ("photo", (3, 5, 43, 35), (60, 80)),
    ("photo", (0, 0, 131, 97), (5, 7)),
    ("photo", (20, 10, 68, 58), (48, 48)),
    ("photo", (80.5, 50.5, 131, 97), (33, 70)),
    ("tiny", (0, 0, 3, 2), (16, 16)),
    ("noise", (0, 0, 50, 40), (24, 24)),
    ("noise", (0, 0, 50, 40), (71, 90)),
    ("noise", (49, 39, 50, 40), (4, 4)),
]
resize = []
for i, (source, box, (height, width)) in enumerate(cases):
    image = Image.fromarray(shapes[source]).resize((width, height), Image.Resampling.BICUBIC, box=box)
    write_rgb(f"resize-{i}.rgb", image)
    h, w, _ = shapes[source].shape
    resize.append({"source": source, "sourceHeight": h, "sourceWidth": w, "box": box, "height": height, "width": width})

# The pipeline of torchvision on a JPEG: open, convert, crop, resize; the crops span reduced decoding.
Image.fromarray(picture(480, 640, 3.0)).save(OUT / "pipeline.jpg", quality=90)
pipeline = []
for i, (top, left, height, width) in enumerate([(33, 57, 90, 110), (100, 201, 200, 250), (3, 5, 470, 630), (0, 0, 480, 640)]):
    with Image.open(OUT / "pipeline.jpg") as image:
        crop = resized_crop(image.convert("RGB"), top, left, height, width, [64, 64], InterpolationMode.BICUBIC)
    write_rgb(f"pipeline-{i}.rgb", crop)
    pipeline.append({"top": top, "left": left, "height": height, "width": width})

# RandomResizedCrop.get_params: statistics of many draws.
DRAWS = 40_000
QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95]
torch.manual_seed(SEED)
crops = []
for width, height in [(500, 375), (200, 300), (300, 60), (41, 400)]:
    blank = Image.new("RGB", (width, height))
    draws = np.array([RandomResizedCrop.get_params(blank, (0.2, 1.0), (3 / 4, 4 / 3)) for _ in range(DRAWS)], np.float64)
    top, left, h, w = draws.T
    measures = {"area": w * h / (width * height), "aspect": w / h, "left": left / width, "top": top / height}
    crops.append({"width": width, "height": height} | {
        name: {"mean": values.mean(), "deviation": values.std(), "quantiles": np.quantile(values, QUANTILES).tolist()}
        for name, values in measures.items()
    })

# Files of every kind, with Pillow's convert("RGB").
small = Image.fromarray(picture(40, 56, 2.0))
alpha = Image.fromarray(rng.integers(0, 256, (40, 56), np.uint8))
rgba = small.copy()
rgba.putalpha(alpha)
grey_alpha = small.convert("L")
grey_alpha.putalpha(alpha)


def write_png16(path, array):
    """A 16-bit PNG by hand (Pillow writes no 16-bit RGB): array is uint16 [height, width, channels]."""
    height, width, channels = array.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2}[channels], 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    )


small.convert("CMYK").save(OUT / "cmyk.jpg", quality=92)
small.convert("L").save(OUT / "grey.jpg", quality=92)
small.save(OUT / "baseline-444.jpg", quality=92, subsampling=0)
small.save(OUT / "baseline-422.jpg", quality=92, subsampling=1)
small.save(OUT / "baseline-420.jpg", quality=92, subsampling=2)
small.save(OUT / "progressive.jpg", quality=92, progressive=True)
small.save(OUT / "png-named.JPEG", format="PNG")
rgba.save(OUT / "rgba.png")
grey_alpha.save(OUT / "grey-alpha.png")
small.quantize(16).save(OUT / "palette.png", transparency=3)
small.convert("1").save(OUT / "one-bit.png")
small.save(OUT / "lossless.webp", lossless=True)
small.save(OUT / "lossy.webp", quality=90)
small.save(OUT / "lzw.tif", compression="tiff_lzw")
small.convert("L").save(OUT / "grey.tiff")
files = [path.name for path in sorted(OUT.iterdir()) if path.suffix not in (".rgb", ".json") and path.stem != "pipeline"]
files = [name for name in files if "16" not in name and not name.startswith("exif")]
for name in files:
    with Image.open(OUT / name) as image:
        write_rgb(f"{name}.rgb", image)

# 16 bits: the high 8 of each, which is what Pillow does for RGB (its grey 16-bit mode clips instead).
for name, channels in [("rgb16.png", 3), ("grey16.png", 1)]:
    deep = rng.integers(0, 65536, (20, 28, channels), np.uint16)
    write_png16(OUT / name, deep)
    high = np.broadcast_to((deep >> 8).astype(np.uint8), (20, 28, 3))
    (OUT / f"{name}.rgb").write_bytes(high.tobytes())
with Image.open(OUT / "rgb16.png") as image:
    assert np.asarray(image.convert("RGB")).tobytes() == (OUT / "rgb16.png.rgb").read_bytes()

# All EXIF orientations, turned upright by Pillow.
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    name = f"exif-{orientation}.jpg"
    small.crop((0, 0, 24, 40)).save(OUT / name, quality=92, exif=exif)
    with Image.open(OUT / name) as image:
        write_rgb(f"{name}.rgb", ImageOps.exif_transpose(image))

sizes = {}
for name in files:
    with Image.open(OUT / name) as image:
        sizes[name] = {"width": image.width, "height": image.height}
sizes |= {name: {"width": 28, "height": 20} for name in ("rgb16.png", "grey16.png")}
index = {"resize": resize, "pipeline": pipeline, "quantiles": QUANTILES, "draws": DRAWS, "crops": crops, "files": sizes}
(OUT / "index.json").write_text(json.dumps(index, indent=1) + "\n")
versions = {
    "pillow": PIL.__version__,
    "libjpegTurbo": PIL.features.version("libjpeg_turbo"),
    "numpy": np.__version__,
    "torch": torch.__version__,
    "torchvision": torchvision.__version__,
    "seed": SEED,
}
(OUT / "versions.json").write_text(json.dumps(versions, indent=1) + "\n")
total = sum(path.stat().st_size for path in OUT.iterdir())
assert total < 600_000, f"goldens take {total} bytes"
print(f"{total} bytes in {OUT}")
