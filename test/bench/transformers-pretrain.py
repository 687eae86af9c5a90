"""Pretrains transformers' ViTMAE on PyTorch with the settings of `mae pretrain`: its peer.

    python test/bench/transformers-pretrain.py --data-path DIR --output-dir DIR --model mae_vit_nano_patch8_64
        --batch-size 128 --epochs 40 --warmup-epochs 2 --lr 1.5e-3 [--save-epochs 10,20] [--seed 0] [--device cuda]

Crops are torchvision's (RandomResizedCrop, scale (0.2, 1), bicubic; flip), the update is fused AdamW, β (0.9, 0.95), decay
0.05 for matrices alone, the learning rate the paper's half cosine, set at each step. Prints one line of JSON an epoch; the
folders `epoch-N` are what `mae evaluate --checkpoint` reads.
"""

import argparse
import importlib
import json
import math
import time
from pathlib import Path

import torch
import torchvision
from torchvision import transforms
from torchvision.transforms import InterpolationMode

step = importlib.import_module("pytorch-step")


def pictures(args, size):
    crop = transforms.RandomResizedCrop(size, scale=(args.crop_scale, 1), interpolation=InterpolationMode.BICUBIC)
    normalize = transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    pipeline = transforms.Compose([crop, transforms.RandomHorizontalFlip(), transforms.ToTensor(), normalize])
    return torch.utils.data.DataLoader(
        torchvision.datasets.ImageFolder(args.data_path, pipeline),
        batch_size=args.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
    )


def fill_positions(model, preset):
    """A fresh model of transformers 5.23 has zeros in both tables: its modules' own code fills them when it is asked to."""
    from transformers import ViTMAEConfig
    from transformers.models.vit_mae.modeling_vit_mae import ViTMAEEmbeddings

    def table(width):
        grid = preset["inputSize"] // preset["patchSize"]
        module = ViTMAEEmbeddings(ViTMAEConfig(image_size=grid, patch_size=1, hidden_size=width))
        module.initialize_weights()
        assert module.position_embeddings.any()
        return module.position_embeddings

    with torch.no_grad():
        model.vit.embeddings.position_embeddings.copy_(table(preset["embedDim"]))
        model.decoder.decoder_pos_embed.copy_(table(preset["decoderEmbedDim"]))


def optimizer_of(model):
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for _, p in trained if p.ndim > 1]
    others = [p for _, p in trained if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)


def rate(epoch, args):
    if epoch < args.warmup_epochs:
        return args.lr * epoch / args.warmup_epochs
    share = (epoch - args.warmup_epochs) / (args.epochs - args.warmup_epochs)
    return args.lr * 0.5 * (1 + math.cos(math.pi * share))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-path", required=True)
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--model", default="mae_vit_nano_patch8_64")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--warmup-epochs", type=float, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--crop-scale", type=float, default=0.2)
    parser.add_argument("--save-epochs", default="")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    preset = json.loads((step.PRESETS / f"{args.model}.json").read_text())
    loss_of, model, name = step.transformers_model(preset)
    fill_positions(model, preset)
    model.to(args.device).train()
    loader, optimizer = pictures(args, preset["inputSize"]), optimizer_of(model)
    saved = {int(epoch) for epoch in args.save_epochs.split(",") if epoch} | {args.epochs}
    print(json.dumps({"peer": name, "torch": torch.__version__, "threads": torch.get_num_threads()}), flush=True)
    start = time.perf_counter()
    for epoch in range(args.epochs):
        losses = []
        for i, (images, _) in enumerate(loader):
            for group in optimizer.param_groups:
                group["lr"] = rate(epoch + i / len(loader), args)
            loss = loss_of(images.to(args.device))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        done = {"epoch": epoch + 1, "loss": sum(losses) / len(losses), "seconds": time.perf_counter() - start}
        print(json.dumps(done), flush=True)
        if epoch + 1 in saved:
            model.save_pretrained(args.output_dir / f"epoch-{epoch + 1}")


if __name__ == "__main__":
    main()
