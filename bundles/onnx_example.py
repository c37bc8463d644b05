"""A bundle's use without Venation: its input in words, and an example in Python for onnxruntime.

Both are in the model card.
"""

from ..data.data_config import DataConfig
from ..data.fit_image import fitted_HW, mean_colour
from .bundle import BOOSTER_ONNX, ONNX, BundleRecord

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
    view = record.config.data
    mean, std = view.normalisation
    image = f'image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGB")\n{_fit_lines(view)}'
    if view.channels != 3:
        height, width = view.size_HW
        image = f"image = np.load(sys.argv[1])  # uint8, {height} x {width} x {view.channels}"
    answer = _BOOSTER if record.has_booster else _HEAD
    return _EXAMPLE.format(image=image, mean=mean, std=std, graph=ONNX, answer=answer)


def describe_input(view: DataConfig) -> str:
    """Return how an image becomes the input of the graph, as a sentence."""
    height, width = view.size_HW
    method = f"{view.interpolation}, with antialiasing"
    match view.fit:
        case "squash":
            fitted = f"resized to {' x '.join(map(str, fitted_HW(view, train=False)))} pixels ({method})"
            if view.zoom > 1:
                fitted += f", then cut to the central {height} x {width}"
        case "pad":
            fitted = (
                f"resized to fit into {height} x {width} pixels ({method}), with its aspect, and padded to that size"
                f" evenly with the colour {mean_colour(view)}"
            )
        case "crop" | "whole":
            fitted = f"padded at the right and the bottom to {height} x {width} pixels at least, and cut to the centre"
        case "patch":
            resized = "left at its own size" if view.scale == 1 else f"resized to {view.scale:g} times its size"
            fitted = f"{resized}, and cut into windows of {height} x {width} pixels"
    mean, std = view.normalisation
    deep = f" Images with more than 8 bits are first scaled so that {view.white:g} becomes 255." if view.white else ""
    kind = "RGB image" if view.channels == 3 else f"image of {view.channels} channels"
    return (
        f"An upright {kind} (height x width) is {fitted}. Its values, divided by 255, are normalised by the mean"
        f" {mean} and the standard deviation {std} of the channels.{deep}"
    )


def _fit_lines(view: DataConfig) -> str:
    """Return the line of the example that brings an image to the size of the network's input."""
    height, width = view.size_HW
    method = f"Image.Resampling.{view.interpolation.upper()}"
    match view.fit:
        case "squash":
            whole_height, whole_width = fitted_HW(view, train=False)
            line = f"image = image.resize(({whole_width}, {whole_height}), {method})"
            # The centre as torchvision's CenterCrop rounds it.
            left, top = round((whole_width - width) / 2), round((whole_height - height) / 2)
            return line if view.zoom == 1 else f"{line}.crop({(left, top, left + width, top + height)})"
        case "pad":
            return f"image = ImageOps.pad(image, ({width}, {height}), {method}, color={mean_colour(view)})"
        case "crop" | "whole":
            half = "{} // 2" if view.border == "mean" else "round({} / 2)"
            corner = ", ".join((half.format(f"(image.width - {width})"), half.format(f"(image.height - {height})")))
            return f"left, top = {corner}\nimage = image.crop((left, top, left + {width}, top + {height}))"
    resized = "" if view.scale == 1 else f"ImageOps.scale(image, {view.scale:g}, {method})"
    return f"image = {resized or 'image'}.crop((0, 0, {width}, {height}))"
