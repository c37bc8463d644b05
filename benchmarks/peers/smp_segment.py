"""A plain segmentation with segmentation_models_pytorch: U-Net on patches at native scale.

    python benchmarks/peers/smp_segment.py SPLIT.csv [--patch 256] [--size 224] [--steps 600]

Trains on random patches of the training images, or with --size on whole images of that size, and
scores the last weights on whole test images.
Prints one line of JSON: Dice and IoU over all pixels of the test split, seconds.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from _plain import Array, load_in_order, read_binary, read_rgb, read_rows
from torch.nn import functional as F


def unet(*, pretrained: bool) -> torch.nn.Module:
    """Return smp's U-Net on EfficientNet-Lite0 through timm."""
    model = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None, classes=1)
    if pretrained:
        load_in_order(model.encoder.model)
    return model


def patch(image_CHW: Array, mask_HW: Array, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return a random patch, flipped and turned at random."""
    top = int(rng.integers(image_CHW.shape[1] - size + 1))
    left = int(rng.integers(image_CHW.shape[2] - size + 1))
    pair = np.concatenate([image_CHW, mask_HW[None]])[:, top : top + size, left : left + size]
    pair = np.rot90(pair, int(rng.integers(4)), (1, 2))
    pair = pair[:, :, ::-1] if rng.random() < 0.5 else pair
    return np.ascontiguousarray(pair[:-1]), np.ascontiguousarray(pair[-1:])


def score(model: torch.nn.Module, images: list[Array], masks: list[Array]) -> dict[str, float]:
    """Return Dice and IoU over all pixels; sides are padded to multiples of 32."""
    model.eval()
    both = predicted = actual = 0
    with torch.no_grad():
        for image_CHW, mask_HW in zip(images, masks, strict=True):
            height, width = mask_HW.shape
            padded = F.pad(torch.from_numpy(image_CHW)[None], (0, -width % 32, 0, -height % 32))
            found = (model(padded)[0, 0, :height, :width] > 0).numpy()
            both += int((found & (mask_HW > 0)).sum())
            predicted, actual = predicted + int(found.sum()), actual + int((mask_HW > 0).sum())
    return {"dice": 2 * both / (predicted + actual), "iou": both / (predicted + actual - both)}


def main() -> None:
    """Read the options, train, score, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("--patch", type=int, default=256)
    parser.add_argument("--size", type=int, help="resize images to squares instead of cutting patches")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--random", action="store_true", help="start from random weights")
    options = parser.parse_args()
    began = time.perf_counter()
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    rows = read_rows(options.split)
    images = {name: [read_rgb(row["image"], options.size) for row in rows[name]] for name in ("train", "test")}
    masks = {name: [read_binary(row["mask"], options.size) for row in rows[name]] for name in ("train", "test")}
    model = unet(pretrained=not options.random)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=options.steps, pct_start=0.1)
    dice = smp.losses.DiceLoss("binary")
    model.train()
    for _ in range(options.steps):
        drawn = rng.integers(len(images["train"]), size=options.batch)
        patches = [patch(images["train"][i], masks["train"][i], options.size or options.patch, rng) for i in drawn]
        x, y = (torch.from_numpy(np.stack(part)) for part in zip(*patches, strict=True))
        logits = model(x)
        loss = F.binary_cross_entropy_with_logits(logits, y) + dice(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    line = score(model, images["test"], masks["test"])
    print(json.dumps(line | {"pretrained": not options.random, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
