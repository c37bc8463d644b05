"""A bundle's use without Venation: its input in words, and an example in Python for onnxruntime.

Both are in the model card, and made from the record's ``inference``.
"""

from .inference import ImageSteps
from .record import BOOSTER_ONNX, BundleRecord

_EXAMPLE = """\
import json, sys
import numpy as np, onnxruntime
from PIL import Image, ImageOps
record = json.load(open("bundle.json"))
{image}
x_HWC = (np.asarray(image) / 255 - {mean}) / {std}
x_BCHW = x_HWC.transpose(2, 0, 1)[None].astype(np.float32)
session = onnxruntime.InferenceSession("{graph}")
{answer}
for share, name in sorted(zip(probabilities[0], record["classes"]), reverse=True)[:3]:
    print(f"{{share:.4f}} {{name}}")"""


_HEAD = '(probabilities,) = session.run(["probabilities"], {"image": x_BCHW})'
_BOOSTER = f"""\
(features,) = session.run(["features"], {{"image": x_BCHW}})
booster = onnxruntime.InferenceSession("{BOOSTER_ONNX}")
(probabilities,) = booster.run(["probabilities"], {{"features": features}})"""


def onnx_example(record: BundleRecord) -> str:
    """Return a program that classifies one image with ``model.onnx``; it runs in the bundle.

    It shows the bundle's probabilities: those of the booster, if there is one. For ``crop`` and
    ``patch`` the image has to be as large as the network's input at least; of ``patch`` it shows
    one window. An image of other channels than RGB is a fitted array.
    """
    labels = record.describe().labels
    steps = labels.image
    image = "\n".join(['image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")', *_fit_lines(steps)])
    if steps.channels != 3:
        height, width = steps.size or ("height", "width")
        image = f"image = np.load(sys.argv[1])  # uint8, {height} x {width} x {steps.channels}"
    answer = _BOOSTER if labels.booster else _HEAD
    return _EXAMPLE.format(image=image, mean=steps.mean, std=steps.std, graph=labels.graph, answer=answer)


def describe_input(steps: ImageSteps) -> str:
    """Return how an image becomes the input of the graph, as a sentence."""
    done = [*_resized(steps), *_cut(steps), *_padded(steps)]
    if steps.windows is not None:
        done.append(f"cut into windows of {_pixels(steps.windows.size)}")
    deep = f" Images with more than 8 bits are first scaled so that {steps.white:g} becomes 255." if steps.white else ""
    kind = "RGB image" if steps.channels == 3 else f"image of {steps.channels} channels"
    return (
        f"An upright {kind} (height x width) is {', then '.join(done)}. Its values, divided by 255, are normalised by"
        f" the mean {steps.mean} and the standard deviation {steps.std} of the channels.{deep}"
    )


def _resized(steps: ImageSteps) -> list[str]:
    if (resize := steps.resize) is None:
        return ["left at its own size"]
    method = f"({resize.interpolation}, with antialiasing)"
    if resize.size is None:
        return [f"resized to {resize.scale:g} times its size {method}"]
    if resize.keep_aspect:
        return [f"resized with its aspect to fit into {_pixels(resize.size)} {method}"]
    return [f"resized to {_pixels(resize.size)} {method}"]


def _cut(steps: ImageSteps) -> list[str]:
    return [] if steps.crop is None else [f"cut to the central {_pixels(steps.crop.size)}"]


def _padded(steps: ImageSteps) -> list[str]:
    if (pad := steps.pad) is None:
        return []
    colour = ", ".join(f"{value:g}" for value in pad.colour)
    place = "evenly" if pad.place == "centre" else "at the right and the bottom"
    return [f"padded {place} with the colour ({colour}) to {_pixels(pad.size)} at least"]


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _fit_lines(steps: ImageSteps) -> list[str]:
    """Return the lines of the example that bring an image to the size of the network's input."""
    lines = []
    if (resize := steps.resize) is not None:
        method = f"Image.Resampling.{resize.interpolation.upper()}"
        height, width = resize.size or (0, 0)
        if resize.scale is not None:
            lines.append(f"image = ImageOps.scale(image, {resize.scale:g}, {method})")
        elif resize.keep_aspect and steps.pad is not None:
            colour = tuple(map(int, steps.pad.colour))
            return [f"image = ImageOps.pad(image, ({width}, {height}), {method}, color={colour})"]
        else:
            lines.append(f"image = image.resize(({width}, {height}), {method})")
    if (crop := steps.crop) is not None:
        height, width = crop.size
        half = "round({} / 2)" if crop.rounding == "even" else "{} // 2"
        corner = ", ".join((half.format(f"(image.width - {width})"), half.format(f"(image.height - {height})")))
        lines += [f"left, top = {corner}", f"image = image.crop((left, top, left + {width}, top + {height}))"]
    if steps.windows is not None:
        height, width = steps.windows.size
        lines.append(f"image = image.crop((0, 0, {width}, {height}))")
    return lines
