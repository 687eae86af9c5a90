"""Images a second of torchvision's input pipeline: the peer of `mae bench data`.

    python test/bench/torchvision-loader.py --data-path DIR --workers 2 --seconds 10 [--batch-size 64]

Prints one line of JSON. The pipeline is the one of MAE's pretraining script: ImageFolder, RandomResizedCrop(224,
scale (0.2, 1), bicubic), flip, ToTensor, Normalize, in a DataLoader. With --workers 0 the calling process decodes.
Counting starts after the first batches, so starting the workers is not in it; PyTorch gets one thread, as in its
own workers.
"""

import argparse
import json
import platform
import time

import PIL
import torch
import torchvision
from PIL import features
from torchvision import transforms
from torchvision.transforms import InterpolationMode


def batches(loader):
    """Epoch after epoch, with the workers kept."""
    while True:
        yield from loader


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-path", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pipeline = transforms.Compose(
        [
            transforms.RandomResizedCrop(
                arguments.input_size, scale=(0.2, 1.0), interpolation=InterpolationMode.BICUBIC, antialias=True
            ),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    folder = torchvision.datasets.ImageFolder(arguments.data_path, transform=pipeline)
    loader = torch.utils.data.DataLoader(
        folder,
        batch_size=arguments.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    source = batches(loader)
    for _ in range(max(1, 2 * arguments.workers)):
        next(source)
    images, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < arguments.seconds:
        images += len(next(source)[0])
    print(
        json.dumps(
            {
                "peer": f"torchvision {torchvision.__version__}, torch {torch.__version__}, Pillow {PIL.__version__}",
                "python": platform.python_version(),
                "libjpeg_turbo": features.version("libjpeg_turbo"),
                "workers": arguments.workers,
                "input_size": arguments.input_size,
                "images": images,
                "images_per_second": images / seconds,
            }
        )
    )


if __name__ == "__main__":
    main()
