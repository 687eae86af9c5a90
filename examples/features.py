"""Features of pictures in Python: pip install onnxruntime pillow

python features.py FOLDER OF mae export --format web, PICTURE …
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder, *pictures = sys.argv[1:]
config = json.loads((Path(folder) / "preprocessor_config.json").read_text())
size = (config["crop_size"]["width"], config["crop_size"]["height"])
mean, std = np.float32(config["image_mean"]), np.float32(config["image_std"])
session = onnxruntime.InferenceSession(Path(folder) / "onnx" / "model.onnx")

for picture in pictures:
    # the middle of the picture, upright
    image = ImageOps.exif_transpose(Image.open(picture)).convert("RGB")
    pixels = np.asarray(ImageOps.fit(image, size, Image.Resampling.BICUBIC), np.float32)
    values = ((pixels / 255 - mean) / std).transpose(2, 0, 1)[None]  # [1, 3, height, width]
    (features,) = session.run(["pooler_output"], {"pixel_values": values})
    print(json.dumps({"picture": picture, "features": features[0].tolist()}))
