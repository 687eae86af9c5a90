"""Writes goldens/kinds.json: small pictures of every depth and colour, and the RGB that they mean. Run: python test/data/make_picture_kinds.py

Needs pillow (11.3 or later, for AVIF), numpy, tifffile and imagecodecs; the file records their versions. What Pillow reads
rightly is judged by its convert("RGB"); it has no rule for other depths, whose RGB is the picture that they were made of.
Of a kind that is not read, "reason" is what has to be said.
"""

import base64
import io
import json
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import PIL
import tifffile
from PIL import Image, ImageCms, ImageOps

HEIGHT, WIDTH = 5, 7
rng = np.random.default_rng(20261125)
rgb = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
rgb[0, 0], rgb[0, 1] = 0, 255
grey = rgb[..., 0]
grey_rgb = np.repeat(grey[..., None], 3, -1)
alpha = 255 - grey
half = np.where(grey > 120, 255, 0).astype(np.uint8)
image = Image.fromarray(rgb)
kinds = {}


def add(name, data, wanted=None, tolerance=0, note=None):
    if wanted is None:  # Pillow's word
        with Image.open(io.BytesIO(data)) as opened:
            wanted = np.asarray(opened.convert("RGB"))
    height, width, _ = wanted.shape
    kinds[name] = {
        "file": base64.b64encode(data).decode(),
        "rgb": base64.b64encode(np.ascontiguousarray(wanted).tobytes()).decode(),
        "width": width,
        "height": height,
        "tolerance": tolerance,
        "note": note,
    }


def refuse(name, data, reason):
    kinds[name] = {"file": base64.b64encode(data).decode(), "reason": reason}


def tiff(array, photometric, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, array, photometric=photometric, metadata=None, software="", **options)
    return out.getvalue()


def saved(picture, kind, **options):
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(array, chunks=b""):
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, {1: 0, 2: 4, 3: 2}[array.shape[2]], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunks + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# Integers of more than 8 bits: the fewest of 8, 10, 12, 14 and 16 bits that hold the largest value are the range.
u16 = rgb.astype(np.uint16)
for bits in (10, 12, 14):
    deep = u16 << (bits - 8)
    add(f"{bits}-bit.tif", tiff(deep, "rgb"), rgb, note=f"16-bit values up to {deep.max()} are taken as {bits}-bit")
noted12 = f"16-bit values up to {255 * 16} are taken as 12-bit"
add("8-bit-in-16.tif", tiff(u16, "rgb"), rgb, note="16-bit values up to 255 are taken as 8-bit")
add("16-bit.tif", tiff(u16 * 257, "rgb"), rgb)
add("grey-16.tif", tiff(grey.astype(np.uint16) * 257, "minisblack"), grey_rgb)
add("grey-12.tif", tiff(grey.astype(np.uint16) * 16, "minisblack", byteorder=">"), grey_rgb, note=noted12)
add("12-bit.png", png16(u16 * 16), rgb, note=noted12)
add("12-bit-grey-alpha.png", png16(np.stack([grey * np.uint16(16), alpha * np.uint16(257)], -1)), grey_rgb, note=noted12)
add("dark-with-sBIT.png", png16(u16 * 16, chunk(b"sBIT", bytes([12, 12, 12]))), (u16 * 16 >> 8).astype(np.uint8))
add("12-bit-white-is-zero.tif", tiff(grey.astype(np.uint16) * 16, "miniswhite"), 255 - grey_rgb, note=noted12)
add("rgba-12.tif", tiff(np.dstack([u16 * 16, alpha * np.uint16(257)]), "rgb", extrasamples=["unassalpha"]), rgb, note=noted12)
add("32-bit.tif", tiff(rgb.astype(np.uint32) << 24, "rgb"), rgb)
add("24-bit-in-32.tif", tiff(grey.astype(np.uint32) << 16, "minisblack"), grey_rgb, note=f"32-bit values up to {255 << 16} are taken as 24-bit")
add("signed-16.tif", tiff(rgb.astype(np.int16) * 16, "rgb"), rgb, note=noted12)
add("signed-16-grey.tif", tiff(grey.astype(np.int16) * 16, "minisblack"), grey_rgb, note=noted12)
add("signed-32.tif", tiff(grey.astype(np.int32) * 16, "minisblack"), grey_rgb, note=f"32-bit values up to {255 * 16} are taken as 12-bit")
add("signed-8.tif", tiff((grey >> 1).astype(np.int8), "minisblack"), grey_rgb >> 1)
refuse("negative-16.tif", tiff(grey.astype(np.int16) - 300, "minisblack"), "16-bit signed values from -300 to -45")
refuse("negative-8.tif", tiff((grey >> 1).astype(np.int16).astype(np.int8) - np.int8(50), "minisblack"), "8-bit signed values from -50 to 77")

# Floats: 0 to 1 or 0 to 255, without gamma.
noted1 = "32-bit float values from 0 to 1 are taken as 0 to 1, without gamma"
add("float.tif", tiff((rgb / 255).astype(np.float32), "rgb"), rgb, note=noted1)
add("float-grey.tif", tiff((grey / 255).astype(np.float32), "minisblack"), grey_rgb, note=noted1)
add("float-rgba.tif", tiff(np.dstack([rgb / 255, alpha / 255]).astype(np.float32), "rgb", extrasamples=["unassalpha"]), rgb, note=noted1)
add("float-255.tif", tiff(rgb.astype(np.float32), "rgb"), rgb, note=noted1.replace("to 1", "to 255"))
add("float-16.tif", tiff((grey / 255).astype(np.float16), "minisblack"), grey_rgb, note=noted1.replace("32", "16"))
refuse("float-nan.tif", tiff(np.where(grey == 255, np.nan, grey / 255).astype(np.float32), "minisblack"), "with NaN or infinity among them")
refuse("float-beyond.tif", tiff((grey / 100).astype(np.float32), "minisblack"), "32-bit float values from 0 to 2.55; expected 0 to 1, or 0 to 255")
refuse("float-negative.tif", tiff((grey / 255 - 0.5).astype(np.float32), "minisblack"), "32-bit float values from -0.5 to 0.5")
refuse("float-64.tif", tiff(grey / 255, "minisblack"), "got float values of 64 bits")
refuse("complex.tif", tiff(grey.astype(np.complex64), "minisblack"), "got complex values of 64 bits")
refuse("packed-12.tif", tiff(grey.astype(np.uint16) * 16, "minisblack", bitspersample=12), "got unsigned values of 12 bits")

# Bands.
three = {"planarconfig": "contig", "extrasamples": ["unspecified"] * 2}
noted3 = "its 3 bands are taken as red, green and blue"
add("unnamed-3.tif", tiff(rgb, "minisblack", **three), rgb, note=noted3)
add("unnamed-3-16.tif", tiff(u16 * 257, "minisblack", **three), rgb, note=noted3)
for bands in (2, 4, 5, 13):
    array = np.repeat(grey[..., None], bands, -1)
    black = {"planarconfig": "contig", "extrasamples": ["unspecified"] * (bands - 1)}
    refuse(f"{bands}-bands.tif", tiff(array, "minisblack", **black), f"TIFF: {bands} bands")
    refuse(f"{bands}-bands-16.tif", tiff(array.astype(np.uint16), "minisblack", **black), f"TIFF: {bands} bands")
nir = tiff(np.dstack([rgb, grey]), "rgb", extrasamples=["unspecified"])
refuse("rgb-and-infrared.tif", nir, "4 bands (no ExtraSamples says that the last is alpha); expected 1 or 3, and alpha")
add("grey-alpha.tif", tiff(np.stack([grey, alpha], -1), "minisblack", planarconfig="contig", extrasamples=["unassalpha"]), grey_rgb)
add("rgba.tif", tiff(np.dstack([rgb, alpha]), "rgb", extrasamples=["unassalpha"]), rgb)

# Colours.
cmyk = rng.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
add("cmyk.tif", saved(Image.fromarray(cmyk, "CMYK"), "TIFF"))
add("cmyk-16.tif", tiff(cmyk.astype(np.uint16) * 257, "separated", planarconfig="contig"), np.asarray(Image.fromarray(cmyk, "CMYK").convert("RGB")))
add("ycbcr.tif", saved(image.convert("YCbCr"), "TIFF"), tolerance=1)
large = Image.fromarray(np.kron(rgb, np.ones((8, 8, 1), np.uint8)))
add("jpeg.tif", saved(large, "TIFF", compression="jpeg"), tolerance=2)
add("palette.tif", saved(image.quantize(8), "TIFF"))
add("one-bit.tif", saved(Image.fromarray(half).convert("1"), "TIFF"))
add("one-bit-white-is-zero.tif", saved(Image.fromarray(half).convert("1"), "TIFF", compression="group4", tiffinfo={262: 0}))
add("white-is-zero.tif", tiff(grey, "miniswhite"))
add("lzw-predictor.tif", tiff(rgb, "rgb", compression="lzw", predictor=True))
add("deflate-tiled.tif", tiff(rgb, "rgb", compression="zlib", tile=(16, 16)))
add("planar.tif", tiff(np.moveaxis(rgb, -1, 0), "rgb", planarconfig="separate"), rgb)
add("big.tif", tiff(rgb, "rgb", bigtiff=True, byteorder=">"), rgb)  # Pillow knows no big-endian BigTIFF
add("pages.tif", tiff(np.stack([rgb, 255 - rgb]), "rgb"), rgb, note="the first of 2 pages is read")
lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
refuse("lab.tif", saved(ImageCms.applyTransform(image, lab), "TIFF"), "got CIE L*a*b* colours")
refuse("cfa.tif", tiff(grey.astype(np.uint16), "cfa"), "raw data (CFA)")
refuse("reduced.tif", tiff(rgb, "rgb", subfiletype=1), "its first picture is a reduced one")
refuse("lerc.tif", tiff(grey, "minisblack", compression="lerc"), "not supported: ")

# BMP.
quantized = {bits: image.quantize(2**bits) for bits in (1, 4, 8)}
add("grey.bmp", saved(Image.fromarray(grey), "BMP"))
add("one-bit.bmp", saved(Image.fromarray(half).convert("1"), "BMP"))
add("palette.bmp", saved(quantized[8], "BMP"))
add("rgb.bmp", saved(image, "BMP"))
add("rgba.bmp", saved(image.convert("RGBA"), "BMP"))


def bmp(bits, pixels, palette=b"", compression=0, masks=b"", height=HEIGHT, extra=b"", width=WIDTH):
    header = struct.pack("<IiiHHIIiiII", 40 + len(extra), width, height, 1, bits, compression, len(pixels), 0, 0, len(palette) // 4, 0)
    start = 14 + len(header) + len(masks) + len(extra) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + masks + extra + palette + pixels


def padded(rows):
    return b"".join(row + b"\0" * (-len(row) % 4) for row in rows)


colours = rng.integers(0, 256, (16, 4), np.uint8)
indices = rng.integers(0, 16, (HEIGHT, WIDTH))
by_index = np.ascontiguousarray(colours[indices][..., 2::-1])
nibbles = padded([bytes(int(a) << 4 | int(b) for a, b in zip(row[::2], [*row[1::2], 0])) for row in indices])
add("4-bit.bmp", bmp(4, nibbles, colours.tobytes()), by_index[::-1])
add("top-down.bmp", bmp(24, padded([row[:, ::-1].tobytes() for row in rgb]), height=-HEIGHT))
words = rng.integers(0, 65536, (HEIGHT, WIDTH)).astype("<u2")
add("16-bit.bmp", bmp(16, padded([row.tobytes() for row in words])))
add("565.bmp", bmp(16, padded([row.tobytes() for row in words]), compression=3, masks=struct.pack("<3I", 0xF800, 0x7E0, 0x1F)))
longs = np.dstack([rgb, alpha])
reds_first = struct.pack("<3I", 0xFF, 0xFF00, 0xFF0000)
add("bitfields-32.bmp", bmp(32, longs.tobytes(), compression=3, extra=reds_first + struct.pack("<I", 0xFF000000) + b"\0" * 52), rgb[::-1])
core = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 24)
core_rows = padded([row[:, ::-1].tobytes() for row in rgb])
add("core.bmp", b"BM" + struct.pack("<IHHI", 26 + len(core_rows), 0, 0, 26) + core + core_rows)
run_lengths = b"".join([bytes([3, 5, 0, 4, 1, 2, 3, 4, 0, 0]), bytes([0, 3, 7, 8, 9, 0, 4, 6, 0, 0]), bytes([0, 2, 2, 1, 2, 1, 0, 0, 7, 3, 0, 1])])
add("rle8.bmp", bmp(8, run_lengths, colours.tobytes(), compression=1))
run_nibbles = b"".join([bytes([3, 0x5A, 0, 4, 0x12, 0x34, 0, 0]), bytes([0, 3, 0x78, 0x90, 4, 0x6B, 0, 0]), bytes([7, 0x33, 0, 1])])
rle4 = np.zeros((HEIGHT, WIDTH), int)
rle4[-1] = [5, 10, 5, 1, 2, 3, 4]
rle4[-2] = [7, 8, 9, 6, 11, 6, 11]
rle4[-3] = 3
add("rle4.bmp", bmp(4, run_nibbles, colours.tobytes(), compression=2), np.ascontiguousarray(colours[rle4][..., 2::-1]))
refuse("jpeg.bmp", bmp(0, saved(image, "JPEG"), compression=4), "BMP: expected 1, 4, 8, 16, 24 or 32 bits")
refuse("truncated.bmp", saved(image, "BMP")[:-30], "truncated BMP")
refuse("bomb.bmp", bmp(24, b"", width=2**30), "pixels, got 1073741824 x 5")

# GIF and AVIF.
add("palette.gif", saved(quantized[8], "GIF"))
add("transparent.gif", saved(image.quantize(16), "GIF", transparency=3))
turned = [Image.fromarray(255 - rgb).quantize(8)]
add("frames.gif", saved(quantized[8], "GIF", save_all=True, append_images=turned), note="the first of 2 frames is read")
frames = saved(image, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(255 - rgb)])
add("frames.webp", frames, note="the first of 2 frames is read")
for bits in (8, 10, 12):
    deep = u16 << (bits - 8) if bits > 8 else rgb
    add(f"{bits}-bit.avif", imagecodecs.avif_encode(deep, level=100, bitspersample=bits), rgb)
exif = Image.Exif()
exif[0x0112] = 6
turned_avif = saved(image, "AVIF", exif=exif, quality=100, subsampling="4:4:4")  # as irot, which belongs to the format
add("turned.avif", turned_avif, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(turned_avif)))), tolerance=2)

# JPEG.
add("lossless.jpg", imagecodecs.jpeg_encode(rgb, lossless=True), rgb)
refuse("12-bit.jpg", imagecodecs.jpeg_encode(rgb.astype(np.uint16) * 16, bitspersample=12), "12-bit JPEG (SOF1) is not supported")
ordinary = saved(image, "JPEG")
for process, reason in [(5, "hierarchical JPEG (SOF5)"), (11, "arithmetic-coded lossless JPEG (SOF11)")]:
    refuse(f"sof{process}.jpg", ordinary.replace(b"\xff\xc0", bytes([0xFF, 0xC0 + process])), f"{reason} is not supported")

versions = {"pillow": PIL.__version__, "numpy": np.__version__, "tifffile": tifffile.__version__, "imagecodecs": imagecodecs.__version__}
out = Path(__file__).parent / "goldens" / "kinds.json"
out.write_text(json.dumps({"versions": versions, "kinds": kinds}, indent=1) + "\n")
print(f"{len(kinds)} kinds, {out.stat().st_size} bytes")
