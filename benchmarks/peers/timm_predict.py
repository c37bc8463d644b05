"""Label a folder of images with a classifier of timm: the loop that a user would write.

    python benchmarks/peers/timm_predict.py IMAGES OUT.csv --classes 4

The weights do not matter to its speed: they are ImageNet's or, without a download, random.
"""

import argparse
import csv
from pathlib import Path

import timm
import torch
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("images", type=Path)
parser.add_argument("out", type=Path)
parser.add_argument("--classes", type=int, required=True)
parser.add_argument("--encoder", default="tf_efficientnet_lite0")
parser.add_argument("--batch", type=int, default=16)
given = parser.parse_args()

model = timm.create_model(given.encoder, num_classes=given.classes).eval()
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
paths = sorted(given.images.iterdir())
with given.out.open("w", newline="") as file, torch.inference_mode():
    table = csv.writer(file)
    for start in range(0, len(paths), given.batch):
        batch = paths[start : start + given.batch]
        images = torch.stack([transform(Image.open(path).convert("RGB")) for path in batch])
        probabilities, labels = model(images).softmax(dim=1).max(dim=1)
        table.writerows(zip([path.name for path in batch], labels.tolist(), probabilities.tolist(), strict=True))
