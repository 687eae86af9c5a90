"""Photographs of ImageNet's usual size for the data benchmarks, made from any folder of larger or similar ones.

    python test/bench/make-photographs.py --source DIR --out DIR [--count 1000 --quality 90 --noise 0]

Each picture is cut to 4:3 and resampled to 500 x 375. The median file of ImageNet has about 110 kB: smooth
sources come out smaller, and --noise adds the grain (standard deviation, levels of 255) that brings them there.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--quality", type=int, default=90)
    parser.add_argument("--noise", type=float, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    sources = sorted(path for path in arguments.source.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    sizes = []
    for i in range(arguments.count):
        with Image.open(sources[i % len(sources)]) as opened:
            picture = ImageOps.fit(opened.convert("RGB"), (500, 375), Image.Resampling.BICUBIC)
        if arguments.noise > 0:
            noisy = np.asarray(picture) + rng.normal(0, arguments.noise, (375, 500, 3))
            picture = Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
        path = arguments.out / f"class{i % 10}" / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=arguments.quality)
        sizes.append(path.stat().st_size)
    print(f"{len(sizes)} photographs in {arguments.out}, median {np.median(sizes) / 1000:.0f} kB")


if __name__ == "__main__":
    main()
