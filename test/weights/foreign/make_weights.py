"""
Writes goldens/: models as other libraries save them, random weights, with what they compute.

    pip install torch==2.15.0 transformers==5.23.0 numpy==2.4.6 safetensors==0.8.0
    python test/weights/foreign/make_weights.py
    pip install transformers==4.57.1     # the older names
    python test/weights/foreign/make_weights.py

The first run writes *.pth and hf-5*, the second hf-4*. Every file has the same bytes each time but for the serialization
id inside a .pth. Expectations are in <name>.json: SHA-256 of each tensor's float32 bytes under its published name.
"""

import argparse
import base64
import hashlib
import json
import os
import shutil
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import ViTMAEConfig, ViTMAEForPreTraining

goldens = Path(__file__).parent / "goldens"
goldens.mkdir(exist_ok=True, parents=True)
major = transformers.__version__.split(".")[0]
versions = {"torch": torch.__version__, "transformers": transformers.__version__, "seed": 7}
torch.manual_seed(versions["seed"])

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

# What `randomPermutation` of src/data/masking.ts gives for seed 0 and images 0 and 1: the mask of `mae reconstruct`.
IDS = torch.tensor(
    [
        [8, 5, 9, 3, 0, 10, 6, 2, 13, 4, 1, 12, 14, 7, 15, 11],
        [9, 14, 3, 10, 7, 12, 2, 15, 13, 11, 5, 1, 4, 6, 0, 8],
    ]
)


def encoded(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def write_json(name, value):
    (goldens / f"{name}.json").write_text(json.dumps({"versions": versions, **value}, indent=1) + "\n")


def digests(tensors):
    return {
        name: hashlib.sha256(tensor.detach().float().contiguous().numpy().tobytes()).hexdigest()
        for name, tensor in tensors.items()
    }


# ---- transformers ----


def published(model, config):
    """The model's parameters under published names, by way of its modules: no table of names is needed here."""
    tensors = {}

    def linear(name, module):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = module.weight, module.bias

    def block(name, layer):
        find = lambda *paths: next(layer.get_submodule(p) for p in paths if has(layer, p))
        qkv = [
            find(f"attention.attention.{long}", f"attention.{long[0]}_proj") for long in ("query", "key", "value")
        ]
        tensors[f"{name}.attn.qkv.weight"] = torch.cat([part.weight for part in qkv])
        tensors[f"{name}.attn.qkv.bias"] = torch.cat([part.bias for part in qkv])
        linear(f"{name}.attn.proj", find("attention.output.dense", "attention.o_proj"))
        linear(f"{name}.norm1", layer.layernorm_before)
        linear(f"{name}.norm2", layer.layernorm_after)
        linear(f"{name}.mlp.fc1", find("intermediate.dense", "mlp.fc1"))
        linear(f"{name}.mlp.fc2", find("output.dense", "mlp.fc2"))

    vit, decoder = model.vit, model.decoder
    tensors["cls_token"] = vit.embeddings.cls_token
    tensors["pos_embed"] = vit.embeddings.position_embeddings
    linear("patch_embed.proj", vit.embeddings.patch_embeddings.projection)
    layers = vit.layers if hasattr(vit, "layers") else vit.encoder.layer
    for i, layer in enumerate(layers):
        block(f"blocks.{i}", layer)
    linear("norm", vit.layernorm)
    tensors["mask_token"], tensors["decoder_pos_embed"] = decoder.mask_token, decoder.decoder_pos_embed
    linear("decoder_embed", decoder.decoder_embed)
    for i, layer in enumerate(decoder.decoder_layers):
        block(f"decoder_blocks.{i}", layer)
    linear("decoder_norm", decoder.decoder_norm)
    linear("decoder_pred", decoder.decoder_pred)
    return tensors


def has(module, path):
    try:
        module.get_submodule(path)
        return True
    except AttributeError:
        return False


def sin_cos(width, side):
    """The paper's fixed table [1, 1 + side², width]: half a row for the column, half for the row of a patch."""
    omega = 1 / 10000 ** (np.arange(width // 4) / (width / 4))
    y, x = np.divmod(np.arange(side * side), side)
    halves = [f(np.outer(place, omega)) for place in (x, y) for f in (np.sin, np.cos)]
    table = np.concatenate(halves, axis=1)
    return torch.from_numpy(np.concatenate([np.zeros((1, width)), table])).float()[None]


def random_model(**changes):
    config = ViTMAEConfig(
        image_size=32,
        patch_size=8,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=48,
        decoder_hidden_size=16,
        decoder_num_hidden_layers=1,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        mask_ratio=0.75,
        **changes,
    )
    model = ViTMAEForPreTraining(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.15 + (parameter if parameter.dim() == 1 else 0))
        model.vit.embeddings.position_embeddings.copy_(sin_cos(24, 4))
        model.decoder.decoder_pos_embed.copy_(sin_cos(16, 4))
    return model


def describe(name, model):
    """Loss of each image under the masks IDS, and the encoder's tokens of image 0 with nothing removed."""
    config = model.config
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    pixels = ((images.double() / 255 - MEAN) / STD).permute(0, 3, 1, 2)
    # the model sorts noise: the place of each patch in IDS as its noise
    noise = torch.argsort(IDS, dim=1).double()
    exact = ViTMAEForPreTraining(config).double().eval()
    exact.load_state_dict(model.state_dict())
    with torch.no_grad():
        losses = [exact(pixels[i : i + 1], noise=noise[i : i + 1]).loss.item() for i in range(2)]
        exact.vit.config.mask_ratio = exact.vit.embeddings.config.mask_ratio = 0.0
        order = torch.arange(16).double()[None]
        latent = exact.vit(pixels[:1], noise=order).last_hidden_state
        exact.vit.config.mask_ratio = 0.75
    write_json(
        name,
        {
            "images": encoded(images.numpy()),
            "ids": IDS.tolist(),
            "losses": losses,
            "latent": encoded(latent.float().numpy()),
            "tensors": digests(published(model, config)),
        },
    )


def fresh(name):
    shutil.rmtree(goldens / name, ignore_errors=True)
    return goldens / name


def save_transformers_5():
    model = random_model(norm_pix_loss=True, layer_norm_eps=1e-6)
    describe("hf-5", model)
    model.save_pretrained(fresh("hf-5"))
    model.vit.save_pretrained(fresh("hf-5-encoder"))
    # the names that the library itself uses in memory
    folder = fresh("hf-5-memory")
    folder.mkdir()
    shutil.copy(goldens / "hf-5" / "config.json", folder)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})


def save_transformers_4():
    model = random_model(norm_pix_loss=False)
    with torch.no_grad():
        model.vit.embeddings.position_embeddings[:, 1:] += 0.1 * torch.randn(1, 16, 24)
    describe("hf-4", model)
    model.save_pretrained(fresh("hf-4"))
    model.save_pretrained(fresh("hf-4-sharded"), max_shard_size="40KB")
    model.save_pretrained(fresh("hf-4-bin"), safe_serialization=False)


# ---- .pth, as the published code saves them ----


class Calls:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def published_weights():
    """16 × 16 pixels in patches of 4; 64 wide: the heads that nobody tells are 64 wide, too."""
    shapes = OrderedDict()

    def linear(name, rows, columns):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (rows, columns), (rows,)

    def norm(name, width):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (width,), (width,)

    def block(name, width):
        norm(f"{name}.norm1", width)
        linear(f"{name}.attn.qkv", 3 * width, width)
        linear(f"{name}.attn.proj", width, width)
        norm(f"{name}.norm2", width)
        linear(f"{name}.mlp.fc1", 2 * width, width)
        linear(f"{name}.mlp.fc2", width, 2 * width)

    shapes["cls_token"], shapes["pos_embed"] = (1, 1, 64), (1, 17, 64)
    shapes["mask_token"], shapes["decoder_pos_embed"] = (1, 1, 64), (1, 17, 64)
    shapes["patch_embed.proj.weight"], shapes["patch_embed.proj.bias"] = (64, 3, 4, 4), (64,)
    block("blocks.0", 64)
    norm("norm", 64)
    linear("decoder_embed", 64, 64)
    block("decoder_blocks.0", 64)
    norm("decoder_norm", 64)
    linear("decoder_pred", 48, 64)
    weights = OrderedDict((name, 0.1 * torch.randn(shape)) for name, shape in shapes.items())
    weights["pos_embed"] = weights["decoder_pos_embed"] = sin_cos(64, 4)
    weights["decoder_pos_embed"] = weights["decoder_pos_embed"].clone()
    return weights


def save_pth():
    weights = published_weights()
    # as model.state_dict() gives it: with an attribute
    weights._metadata = OrderedDict([("", {"version": 1})])
    args = argparse.Namespace(
        model="mae_vit_something", mask_ratio=0.6, norm_pix_loss=True, lr=None, blr=1e-3, output_dir="./out", gpu=0
    )
    optimizer = {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.95), "foreach": None, "params": [0]}],
    }
    checkpoint = {"model": weights, "optimizer": optimizer, "epoch": 3, "scaler": {}, "args": args}
    torch.save(checkpoint, goldens / "training.pth")

    encoder = {k: v for k, v in weights.items() if "decoder" not in k and k != "mask_token"}
    torch.save({"model": {f"module.{k}": v.half() for k, v in encoder.items()}}, goldens / "encoder-half.pth")
    write_json("pth", {"training": digests(weights), "encoder": digests({k: v.half() for k, v in encoder.items()})})

    base = torch.randn(4, 6)
    mixed = {
        "transposed": base.t(),
        "row": base[2],
        "column": base[:, 1],
        "window": base[1:3, 2:5],
        "permuted": torch.randn(2, 3, 4).permute(2, 0, 1),
        "scalar": torch.tensor(0.1),
        "empty": torch.zeros(0, 7),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "f16": torch.randn(5).half(),
        "bf16": torch.randn(5).bfloat16(),
        "f64": torch.randn(5).double(),
        "i64": torch.tensor([0, -1, 2**62, -(2**63)]),
        "u8": torch.arange(5, dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
    }
    save_file({k: v.detach().clone().contiguous() for k, v in mixed.items()}, goldens / "mixed.safetensors")
    others = {
        "size": torch.Size([2, 3]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "set": {1, 2},
        "frozen": frozenset([3]),
        "integers": [0, 255, 256, -1, 2**31, -(2**40), 2**80],
        "floats": (0.5, float("inf")),
        "text": "ü" * 300,
        "nothing": None,
        "namespace": argparse.Namespace(a=[1]),
    }
    for protocol in (2, 3, 4, 5):
        torch.save({**mixed, **others}, goldens / f"mixed-{protocol}.pth", pickle_protocol=protocol)
    torch.save({"a": torch.zeros(1).expand(1000, 1000)}, goldens / "expanded.pth")

    # what must not be run; protocol 4 names things by STACK_GLOBAL, 2 by GLOBAL
    for protocol in (2, 4):
        torch.save({"model": Calls(os.system, "touch pwned")}, goldens / f"system-{protocol}.pth", pickle_protocol=protocol)
    torch.save({"model": Calls(eval, "1")}, goldens / "eval.pth")
    torch.save({"model": Calls(getattr, torch.device("cpu"), "type")}, goldens / "getattr.pth")
    torch.save(torch.nn.Linear(2, 2), goldens / "module.pth")
    torch.save({"best": np.float64(0.5), "w": torch.zeros(2)}, goldens / "numpy.pth")
    torch.save({"w": torch.zeros(2)}, goldens / "legacy.pth", _use_new_zipfile_serialization=False)


if major == "5":
    save_pth()
    save_transformers_5()
else:
    save_transformers_4()
