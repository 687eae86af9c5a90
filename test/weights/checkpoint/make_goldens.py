"""
Writes goldens/: small files by the published Python package, for the reader and the writer to be judged by.

    python test/weights/checkpoint/make_goldens.py

Made with safetensors 0.8.0, numpy 2.4.6 and ml_dtypes; there is no randomness in them.
"""

from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

goldens = Path(__file__).parent / "goldens"
goldens.mkdir(exist_ok=True)

# Every kind of half: zeros, subnormals, the largest, infinities, a NaN, and a ramp of bit patterns.
half_bits = np.concatenate(
    [np.array([0, 0x8000, 1, 0x83FF, 0x7BFF, 0x7C00, 0xFC00, 0x7E00], np.uint16), np.arange(0, 0x7C00, 97, dtype=np.uint16)]
)
f16 = half_bits.view(np.float16)
bf16 = np.array([0, -0.0, 1, -1.5, 3.0e38, 1e-40, np.inf, -np.inf], np.float32).astype(ml_dtypes.bfloat16)
f32 = np.arange(-6, 6, dtype=np.float32).reshape(3, 4) / 8

tensors = {
    "f64": np.array([np.pi, -np.e, 1e300, 5e-324]),
    "i64": np.array([[0, -1], [2**62, -(2**63)]], np.int64),
    "blocks.0.attn.qkv.weight": f32,
    "empty": np.zeros((0, 7), np.float32),
    "scalar": np.array(0.1, np.float32),
    "bf16": bf16,
    "f16": f16,
    "u8": np.arange(5, dtype=np.uint8),
}
save_file(tensors, goldens / "types.safetensors", metadata={"format": 'mae "ü"'})
save_file({"weight": f32, "0": f32[0].copy()}, goldens / "plain.safetensors")
save_file({}, goldens / "none.safetensors")

# What numpy makes of the two 16-bit types.
save_file({"f16": f16.astype(np.float32), "bf16": bf16.astype(np.float32)}, goldens / "float32.safetensors")
