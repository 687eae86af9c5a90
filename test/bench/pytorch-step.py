"""One training step of a Masked Autoencoder on PyTorch, timed: the peer of `mae bench step`.

    python test/bench/pytorch-step.py --model mae_vit_base_patch16 --batch-size 8 --steps 10 [--precision bf16]
        [--peer transformers|timm] [--device cuda] [--compile]

The model is transformers' ViTMAEForPreTraining, or one of timm's blocks (timm_mae.py); both with PyTorch's
scaled_dot_product_attention. Precisions other than fp32 are autocast's, fp16 with a gradient scaler.

Prints one line of JSON with the keys of `mae bench step --json`. The step is what a training script does: forward,
backward, fused AdamW with the paper's two groups, the loss read back. Images are drawn once and stay in memory, so
no data loading is in it.
"""

import argparse
import json
import platform
import resource
import statistics
import time
from pathlib import Path

import torch

PRESETS = Path(__file__).parents[2] / "models"


def transformers_model(preset):
    import transformers
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    config = ViTMAEConfig(
        attn_implementation="sdpa",
        image_size=preset["inputSize"],
        patch_size=preset["patchSize"],
        hidden_size=preset["embedDim"],
        num_hidden_layers=preset["depth"],
        num_attention_heads=preset["numHeads"],
        intermediate_size=round(preset["embedDim"] * preset["mlpRatio"]),
        decoder_hidden_size=preset["decoderEmbedDim"],
        decoder_num_hidden_layers=preset["decoderDepth"],
        decoder_num_attention_heads=preset["decoderNumHeads"],
        decoder_intermediate_size=round(preset["decoderEmbedDim"] * preset["mlpRatio"]),
        norm_pix_loss=True,
        mask_ratio=0.75,
    )
    model = ViTMAEForPreTraining(config)
    return (lambda images: model(pixel_values=images).loss), model, f"transformers {transformers.__version__}"


def timm_model(preset):
    import timm
    from timm_mae import MaskedAutoencoder

    model = MaskedAutoencoder(preset)
    return model, model, f"timm {timm.__version__}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mae_vit_base_patch16")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup-steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--peer", choices=["transformers", "timm"], default="transformers")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile, compiled in the warm-up steps")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high" if arguments.precision == "tf32" else "highest")
    preset = json.loads((PRESETS / f"{arguments.model}.json").read_text())
    device = torch.device(arguments.device)
    loss_of, model, version = {"transformers": transformers_model, "timm": timm_model}[arguments.peer](preset)
    model.to(device).train()
    if arguments.compile:
        loss_of = torch.compile(loss_of)
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=1e-4,
        betas=(0.9, 0.95),
        fused=True,
    )
    images = torch.randn(arguments.batch_size, 3, preset["inputSize"], preset["inputSize"], device=device)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(arguments.precision)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    seconds, optimizer_seconds = [], []
    for step in range(arguments.warmup_steps + arguments.steps):
        start = time.perf_counter()
        with torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            loss = loss_of(images)
        scaler.scale(loss).backward()
        synchronize()
        before = time.perf_counter()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        synchronize()
        end = time.perf_counter()
        if step >= arguments.warmup_steps:
            seconds.append(end - start)
            optimizer_seconds.append(end - before)
    median = statistics.median(seconds)
    print(
        json.dumps(
            {
                "peer": f"{version}, torch {torch.__version__}",
                "python": platform.python_version(),
                "model": arguments.model,
                "batch_size": arguments.batch_size,
                "precision": arguments.precision,
                "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
                "compiled": arguments.compile,
                "threads": torch.get_num_threads(),
                "median_step_seconds": median,
                "min_step_seconds": min(seconds),
                "images_per_second": arguments.batch_size / median,
                "median_optimizer_seconds": statistics.median(optimizer_seconds),
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                "peak_device_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
            }
        )
    )


if __name__ == "__main__":
    main()
