"""`mae export`, loaded by transformers' and timm's own loaders; and what transformers saves, read by `mae`."""

import sys
from pathlib import Path

import numpy as np
import timm
import torch
from judge_transformers import published, sincos_table, their_model
from safetensors.numpy import load_file
from shared import NANO, mae, preset, random_weights, save_checkpoint
from table import Table
from transformers import ViTMAEForPreTraining, ViTMAEModel

TINY_PRESET = "mae_vit_tiny_patch16"
HF = "hf, ViTMAEForPreTraining"
HF_ENCODER = "hf, ViTMAEModel"
TIMM = "timm, vit_tiny_patch16_224"
THEIRS = "save_pretrained, then mae export --format mae"
LOADED = {"names missing, left over or of another shape": 0, "tensors that differ": 0}


def unlike(got, wanted):
    """Names that only one side has, or whose numbers differ in any bit."""
    return sorted(
        name for name in got.keys() | wanted.keys()
        if name not in got or name not in wanted or not np.array_equal(got[name], wanted[name])
    )


def of_another_part(name):
    return name.startswith("decoder") or name == "mask_token"


def main(rows, folder):
    table = Table("mae export", rows)
    for configuration in (HF, HF_ENCODER, TIMM):
        table.plan(configuration, LOADED)
    table.plan(THEIRS, {"tensors that differ": 0})
    weights = random_weights(np.random.default_rng(5000), NANO, sincos_table)
    checkpoint, hf = folder / "model.safetensors", folder / "hf"
    save_checkpoint(checkpoint, NANO, weights)
    mae("export", "--checkpoint", checkpoint, "--format", "hf", "-o", hf)

    with table.measuring(HF):
        module, info = ViTMAEForPreTraining.from_pretrained(hf, output_loading_info=True)
        problems = [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
        table.report(HF, "names missing, left over or of another shape", len(problems), ", ".join(map(str, problems))[:200])
        different = unlike(published(NANO, dict(module.state_dict())), weights)
        table.report(HF, "tensors that differ", len(different), ", ".join(different)[:200])

    with table.measuring(HF_ENCODER):
        module, info = ViTMAEModel.from_pretrained(hf, output_loading_info=True)
        # the decoder has no place in this class, in files of transformers' own either
        left_over = [name for name in info["unexpected_keys"] if not name.startswith("decoder.")]
        problems = [*info["missing_keys"], *left_over, *info["mismatched_keys"]]
        what = "names missing, left over or of another shape"
        table.report(HF_ENCODER, what, len(problems), ", ".join(map(str, problems))[:200])
        whole = dict(ViTMAEForPreTraining.from_pretrained(hf).state_dict())
        encoder = {f"vit.{name}": value.numpy() for name, value in module.state_dict().items()}
        wanted = {name: value.numpy() for name, value in whole.items() if name.startswith("vit.")}
        different = unlike(encoder, wanted)
        table.report(HF_ENCODER, "tensors that differ", len(different), ", ".join(different)[:200])

    with table.measuring(TIMM):
        tiny = preset(TINY_PRESET)
        tiny_weights = random_weights(np.random.default_rng(5001), tiny, sincos_table)
        save_checkpoint(folder / "tiny.safetensors", tiny, tiny_weights)
        mae("export", "--checkpoint", folder / "tiny.safetensors", "--format", "timm", "-o", folder / "timm")
        module = timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True)
        state = load_file(folder / "timm" / "model.safetensors")
        found = module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()}, strict=False)
        problems = [*found.missing_keys, *found.unexpected_keys]
        table.report(TIMM, "names missing, left over or of another shape", len(problems), ", ".join(problems)[:200])
        wanted = {name: value for name, value in tiny_weights.items() if not of_another_part(name)}
        fresh = timm.create_model(f"local-dir:{folder / 'timm'}", pretrained=True)
        different = unlike({name: value.numpy() for name, value in fresh.state_dict().items()}, wanted)
        table.report(TIMM, "tensors that differ", len(different), ", ".join(different)[:200])

    with table.measuring(THEIRS):
        their_model(NANO, 0.75, True, weights, torch.float32).save_pretrained(folder / "theirs")
        mae("export", "--checkpoint", folder / "theirs", "--format", "mae", "-o", folder / "back")
        different = unlike(load_file(folder / "back" / "model.safetensors"), weights)
        table.report(THEIRS, "tensors that differ", len(different), ", ".join(different)[:200])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
