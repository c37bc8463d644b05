"""Load encoder weights from a file or from timm's hub."""

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
# Keys under which training scripts store a state dict.
_WRAPPERS = ("model", "state_dict", "teacher")
# Errors of timm's conversions for tensors of a release that they do not know.
_NOT_CONVERTIBLE = (AssertionError, AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
# Errors of torch.load for a damaged file, besides UnpicklingError.
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
_CONNECT_TIMEOUT_S = 5.0


def load_encoder_weights(body: nn.Module, name: str, given: Mapping[str, Tensor], *, source: str) -> None:
    """Load ``given`` into the feature network of timm's ``name``.

    Further keys, such as a classifier's, are ignored. ``given`` may come from a whole timm model,
    from a network of this package (prefix ``encoder.``), or from an older or foreign release that
    timm can convert: a Swin that merges at the end of a stage, position tables of another grid.
    Raises UserError that names ``source`` and the first key that is missing or does not fit, with
    both shapes.
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
    """Read the named tensors of a safetensors or torch.save file (``.pt``, ``.pth``, ``.bin``).

    Raises UserError if the file is missing or damaged, or if a torch file contains more than plain
    data. No code in the file is executed.
    """
    if path.name.endswith(_TORCH_FILES):
        return _tensors(read_torch(path))
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is not a readable safetensors file ({error}): give another") from error


def read_torch(path: Path) -> Any:
    """Read a torch.save file that contains only tensors and plain containers.

    Raises UserError as ``read_tensors`` does.
    """
    try:
        with warnings.catch_warnings():
            # Torch warns of other pickle protocols than its own; if it cannot read one, it raises.
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"{path} contains more than tensors, or is not a torch.save file, and was not read:"
            " save its state dict as safetensors"
        ) from None
    except _UNREADABLE as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path} cannot be read as a torch.save file ({reason}): give another") from error


@contextmanager
def offline_if_unreachable() -> Iterator[None]:
    """Make timm read only the hub's local cache if the hub cannot be reached.

    The hub's client repeats a failed request for most of a minute and has no option against it.
    Raises OSError with the reason if there is no connection and the cache lacks the file.
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
    """Return why the hub cannot be reached; empty if it can, or if a proxy is set."""
    if {"https", "all"} & urllib.request.getproxies().keys():
        return ""
    url = urlsplit(constants.ENDPOINT)
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        socket.create_connection((url.hostname or "", port), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _tensors(content: Any) -> dict[str, Tensor]:
    """Return the tensors of a state dict, without the wrappers of training scripts."""
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    pairs = content.items() if isinstance(content, Mapping) else ()
    return {str(key).removeprefix("module."): value for key, value in pairs if isinstance(value, Tensor)}


def _converted(name: str, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return ``given`` as timm converts it for ``name``."""
    with torch.device("meta"):
        model: Any = timm.create_model(name, num_classes=0)
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return given
    with warnings.catch_warnings():
        # timm's resampling of position tables makes torch warn.
        warnings.simplefilter("ignore")
        converted: Mapping[str, Tensor] = convert(dict(given), model)
    return converted


def _matched(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return ``given`` under the names of ``wanted``.

    Undoes timm's flattening of ``a.b`` to ``a_b`` and drops this package's prefixes. Raises
    UserError for the first key that is missing or does not fit.
    """
    by_name = {_plain(key): tensor for key, tensor in given.items()}
    found = {}
    for key, tensor in wanted.items():
        candidate = by_name.get(_plain(key))
        if candidate is None and key.endswith("num_batches_tracked"):
            candidate = tensor
        if candidate is None or candidate.shape != tensor.shape:
            found_shape = "nothing" if candidate is None else str(tuple(candidate.shape))
            raise UserError(
                f"{source} does not fit: {key} needs {tuple(tensor.shape)}, the file has {found_shape}: "
                "give the weights of this encoder"
            )
        found[key] = candidate
    return found


def _plain(key: str) -> str:
    for prefix in ("encoder.", "body.", "model."):
        key = key.removeprefix(prefix)
    return key.replace(".", "_")
