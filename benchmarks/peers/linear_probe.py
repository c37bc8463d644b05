"""Train a linear probe: logistic regression on frozen ImageNet features, in twenty lines.

    python benchmarks/peers/linear_probe.py SPLIT.csv [--size 224]

Prints one line of JSON: accuracy on the test split, the same with the background blanked, seconds.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from _plain import Array, blank, lite0, read_binary, read_rgb, read_rows
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def features(model: torch.nn.Module, images: list[Array]) -> Array:
    """Return the pooled features of images, N x 1280."""
    with torch.no_grad():
        batches = [torch.from_numpy(np.stack(images[i : i + 16])) for i in range(0, len(images), 16)]
        return np.concatenate([model(batch).numpy() for batch in batches])


def main() -> None:
    """Read the options, fit, score, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("--size", type=int, default=224)
    options = parser.parse_args()
    began = time.perf_counter()
    rows = read_rows(options.split)
    model = lite0(num_classes=0).eval()
    images = {name: [read_rgb(row["image"], options.size) for row in part] for name, part in rows.items()}
    fitted = rows["train"] + rows["val"]
    x = features(model, images["train"] + images["val"])
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(x, [row["label"] for row in fitted])
    truth = [row["label"] for row in rows["test"]]
    line = {"test": len(truth), "accuracy": probe.score(features(model, images["test"]), truth)}
    if all(row["mask"] for row in rows["test"]):
        masks = [read_binary(row["mask"], options.size) for row in rows["test"]]
        blanked = [blank(image, mask) for image, mask in zip(images["test"], masks, strict=True)]
        line["accuracy_blanked"] = probe.score(features(model, blanked), truth)
    print(json.dumps(line | {"size": options.size, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
