"""A plain fine-tune with timm: a new head, AdamW, cosine, flips and random resized crops.

    python benchmarks/peers/timm_finetune.py SPLIT.csv [--size 224] [--epochs 10] [--encoder NAME]

Trains on the training split and keeps the epoch that is best on the validation split. Prints one
line of JSON: accuracy on the test split, the same with the background blanked, seconds.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import timm
import torch
from _plain import MEAN, STD, Array, blank, lite0, read_binary, read_rgb, read_rows
from PIL import Image
from torch.nn import functional as F
from torchvision.transforms import v2


def accuracy(model: torch.nn.Module, images: list[Array], labels: list[int]) -> float:
    """Return the share of images whose most probable class is their label."""
    model.eval()
    with torch.no_grad():
        batches = [torch.from_numpy(np.stack(images[i : i + 16])) for i in range(0, len(images), 16)]
        found = torch.cat([model(batch).argmax(1) for batch in batches])
    return float((found == torch.tensor(labels)).float().mean())


def main() -> None:
    """Read the options, train, score, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", default="tf_efficientnet_lite0", help="others start from random weights")
    options = parser.parse_args()
    began = time.perf_counter()
    torch.manual_seed(options.seed)
    rows = read_rows(options.split)
    names = sorted({row["label"] for row in rows["train"]})
    labels = {split: [names.index(row["label"]) for row in part] for split, part in rows.items()}
    if options.encoder == "tf_efficientnet_lite0":
        model = lite0(num_classes=len(names))
    else:
        model = timm.create_model(options.encoder, pretrained=False, num_classes=len(names))
    pictures = [Image.open(row["image"]).convert("RGB") for row in rows["train"]]
    augment = v2.Compose(
        [
            v2.PILToTensor(),
            v2.RandomResizedCrop(options.size, scale=(0.6, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([MEAN] * 3, [STD] * 3),
        ]
    )
    held_out = {name: [read_rgb(row["image"], options.size) for row in rows[name]] for name in ("val", "test")}
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr, weight_decay=0.05)
    steps = options.epochs * math.ceil(len(pictures) / options.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=steps, pct_start=0.1)
    target = torch.tensor(labels["train"])
    best, kept = -1.0, model.state_dict()
    for _ in range(options.epochs):
        model.train()
        for index in torch.randperm(len(pictures)).split(options.batch):
            batch = torch.stack([augment(pictures[i]) for i in index])
            loss = F.cross_entropy(model(batch), target[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        score = accuracy(model, held_out["val"], labels["val"])
        if score > best:
            best, kept = score, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)
    line = {"val": best, "accuracy": accuracy(model, held_out["test"], labels["test"])}
    if all(row["mask"] for row in rows["test"]):
        masks = [read_binary(row["mask"], options.size) for row in rows["test"]]
        blanked = [blank(image, mask) for image, mask in zip(held_out["test"], masks, strict=True)]
        line["accuracy_blanked"] = accuracy(model, blanked, labels["test"])
    print(json.dumps(line | {"size": options.size, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
