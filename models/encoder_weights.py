"""Weights for an encoder: from a file, in whatever form timm's models come, or from timm's hub."""

import pickle
import socket
import struct
import sys
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import timm
import torch
from huggingface_hub import constants
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import UserError

_TORCH_FILES = (".pt", ".pth", ".pt.tar", ".pth.tar", ".bin", ".ckpt")
# Wrappers that training scripts put around a state dict.
_WRAPPERS = ("model", "state_dict", "teacher")
# What timm's conversions raise when the tensors are not those of any release they know.
_NOT_CONVERTIBLE = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
# What torch's own reader of plain data raises for a damaged file, besides its refusals.
_UNREADABLE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
_REACH_S = 5.0


def load_encoder_weights(body: nn.Module, name: str, given: Mapping[str, Tensor], *, source: str) -> None:
    """Fill the feature network of timm's ``name``; keys beyond it, such as a classifier's, are left out.

    ``given`` may be a whole timm model's, ours (prefix ``encoder.``), or an older or foreign release's that timm knows
    to convert: Swin that merges at the end of a stage, position tables of another grid. Raises UserError that names
    ``source`` and the first key that is missing or does not fit, with both shapes.
    """
    try:
        found = _matched(body.state_dict(), given, source)
    except UserError as misfit:
        try:
            converted = _converted(name, given)
        except _NOT_CONVERTIBLE:
            raise misfit from None
        found = _matched(body.state_dict(), converted, source)
    body.load_state_dict(found)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a safetensors file, or of one that torch.save wrote (``.pt``, ``.pth``, ``.bin``).

    Raises UserError if it is missing or damaged, or if a torch file holds anything that is not plain data: nothing of
    it is executed.
    """
    if path.name.endswith(_TORCH_FILES):
        return _tensors(read_torch(path))
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is no readable safetensors file ({error}): give another") from error


def read_torch(path: Path) -> Any:
    """What torch.save wrote to ``path``, tensors and plain containers only. Raises UserError as ``read_tensors``."""
    try:
        with warnings.catch_warnings():
            # Torch warns of pickle protocols other than its own; whether it can read the file it says by itself.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} holds more than tensors, or is no file of torch.save, and was not read:"
            " save its state dict as safetensors"
        ) from None
    except _UNREADABLE as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path} cannot be read as a file of torch.save ({reason}): give another") from error


@contextmanager
def hub_that_answers() -> Iterator[None]:
    """Let timm ask the hub, but not for long: without a connection, only the hub's cache on this machine is read.

    The hub's client repeats a failed request for most of a minute and has no setting against it. Raises UserError that
    names the reason where there is no connection and the cache has no such file.
    """
    offline, reason = constants.HF_HUB_OFFLINE, _unreachable()
    constants.HF_HUB_OFFLINE = offline or bool(reason)
    try:
        yield
    except FileNotFoundError as error:
        if not reason:
            raise
        raise OSError(f"no connection to {constants.ENDPOINT}: {reason}") from error
    finally:
        constants.HF_HUB_OFFLINE = offline


def _unreachable() -> str:
    """Why the hub cannot be reached, empty if it can be or if only a proxy knows."""
    if {"https", "all"} & urllib.request.getproxies().keys():
        return ""
    url = urlsplit(constants.ENDPOINT)
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        socket.create_connection((url.hostname or "", port), timeout=_REACH_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _tensors(content: Any) -> dict[str, Tensor]:
    """The tensors of a state dict, taken out of the wrapper that a training script may have put around it."""
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    pairs = content.items() if isinstance(content, Mapping) else ()
    return {str(key).removeprefix("module."): value for key, value in pairs if isinstance(value, Tensor)}


def _converted(name: str, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """``given`` as timm itself would read it for ``name``."""
    with torch.device("meta"):
        model: Any = timm.create_model(name, num_classes=0)
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return given
    with warnings.catch_warnings():
        # Torch remarks on how timm resamples tables.
        warnings.simplefilter("ignore")
        converted: Mapping[str, Tensor] = convert(dict(given), model)
    return converted


def _matched(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """``given`` under the names of ``wanted``: timm's flattening of ``a.b`` to ``a_b`` and our own prefix are undone.

    Raises UserError for the first missing or unfit key.
    """
    by_name = {_plain(key): tensor for key, tensor in given.items()}
    found = {}
    for key, tensor in wanted.items():
        candidate = by_name.get(_plain(key))
        if candidate is None and key.endswith("num_batches_tracked"):
            candidate = tensor
        if candidate is None or candidate.shape != tensor.shape:
            holds = "nothing" if candidate is None else str(tuple(candidate.shape))
            raise UserError(
                f"{source} does not fit: {key} needs {tuple(tensor.shape)}, the file holds {holds}: "
                "give the weights of this encoder"
            )
        found[key] = candidate
    return found


def _plain(key: str) -> str:
    for prefix in ("encoder.", "body.", "model."):
        key = key.removeprefix(prefix)
    return key.replace(".", "_")
