"""Load encoder weights from a file."""

import pickle
import struct
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models import adapt_input_conv
from torch import Tensor, nn

from ..errors import UserError
from .finite import require_finite

_TORCH_FILES = (".pt", ".pth", ".pt.tar", ".pth.tar", ".bin", ".ckpt")
# Keys under which training scripts store a state dict.
_WRAPPERS = ("model", "state_dict", "teacher", "net")
# Prefixes that DataParallel and torch.compile write before every key.
_RUN_PREFIXES = ("module.", "_orig_mod.")
# The same, and prefixes of networks that have the encoder as a part, as this package's have.
_PREFIXES = (*_RUN_PREFIXES, "model.", "backbone.", "encoder.", "body.")
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


def load_encoder_weights(body: nn.Module, name: str, given: Mapping[str, Tensor], *, source: str) -> None:
    """Load ``given`` into the feature network of timm's ``name``.

    Further keys, such as a classifier's, are ignored, except blocks of a deeper encoder. ``given``
    may come from a whole timm model, from a network that has the encoder as a part (prefix
    ``encoder.``, ``model.``, ``backbone.``), or from an older or foreign release that timm can
    convert: a Swin that merges at the end of a stage, position tables of another grid. A first
    layer for RGB is adapted to the body's number of channels.
    Raises UserError that names ``source`` and the first key that is missing or does not fit, with
    both shapes, or a block that the encoder lacks.
    """
    given, found = _fit(body.state_dict(), name, given, source)
    if block := _further_block([*body.state_dict(), *_whole_model(name).state_dict()], given):
        raise UserError(f"{source} does not fit: {name} has no block of {block}: give the weights of this encoder")
    body.load_state_dict(found)


def matching_tensors(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> int:
    """Return how many tensors of ``wanted``, without counters, ``given`` has in the same shape."""
    by_name, count = _keys_by_name(given), 0
    for key, tensor in wanted.items():
        keys = by_name.get(_plain(key)) or by_name.get(_flat(key), [])
        shapes = [_of_channels(given[name], tensor).shape for name in keys[:1]]
        count += not key.endswith("num_batches_tracked") and shapes == [tensor.shape]
    return count


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the named tensors of a safetensors or torch.save file (``.pt``, ``.pth``, ``.bin``).

    The prefixes ``module.`` and ``_orig_mod.`` are dropped from the names. Raises UserError if the
    file is missing or damaged, if a torch file contains more than plain data, or if a number is not
    finite. No code in the file is executed.
    """
    if path.name.endswith(_TORCH_FILES):
        tensors = _tensors(read_torch(path))
    else:
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path} is not a readable safetensors file ({error}): give another") from error
    require_finite(tensors, str(path))
    return _without_prefixes(tensors, _RUN_PREFIXES)


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


def _tensors(content: Any) -> dict[str, Tensor]:
    """Return the tensors of a state dict, without the wrappers of training scripts."""
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    pairs = content.items() if isinstance(content, Mapping) else ()
    return {str(key): value for key, value in pairs if isinstance(value, Tensor)}


def _without_prefixes(given: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """Return the tensors without these prefixes, in any order and number.

    A key stays whole if another key would get the same name.
    """
    names = {key: _shorter_names(key, prefixes)[-1] for key in given}
    count = Counter(names.values())
    return {name if count[name] == 1 else key: given[key] for key, name in names.items()}


def _shorter_names(key: str, prefixes: tuple[str, ...] = _PREFIXES) -> list[str]:
    """Return the key, then without its first prefix, and so on to the name without any."""
    names = [key]
    while prefix := next((prefix for prefix in prefixes if names[-1].startswith(prefix)), ""):
        names.append(names[-1].removeprefix(prefix))
    return names


def _whole_model(name: str, **options: Any) -> Any:
    """Return timm's model ``name`` without memory for its weights."""
    with torch.device("meta"):
        return timm.create_model(name, **options)


def _fit(
    wanted: Mapping[str, Tensor], name: str, given: Mapping[str, Tensor], source: str
) -> tuple[Mapping[str, Tensor], dict[str, Tensor]]:
    """Return ``given``, as it is or converted so that it fits, and its tensors by ``wanted``."""
    try:
        return given, _matched(wanted, given, source)
    except UserError as error:
        misfit = error
    bare = _without_prefixes(given, _PREFIXES)
    # timm knows some releases by a prefix.
    for form in (given, bare) if bare.keys() != given.keys() else (given,):
        try:
            converted = _converted(name, form)
        except _NOT_CONVERTIBLE:
            continue
        try:
            return converted, _matched(wanted, converted, source)
        except UserError as error:
            misfit = error
    raise misfit


def _converted(name: str, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return ``given`` as timm converts it for ``name``."""
    model = _whole_model(name, num_classes=0)
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

    Undoes timm's flattening of ``a.b`` to ``a_b`` and drops prefixes. Raises UserError for the
    first key that is missing or does not fit, or that two tensors of the file may be.
    """
    by_name = _keys_by_name(given)
    found = {}
    for key, tensor in wanted.items():
        keys = by_name.get(_plain(key)) or by_name.get(_flat(key), [])
        candidate = given[keys[0]] if len(keys) == 1 else None
        if candidate is None and key.endswith("num_batches_tracked"):
            candidate = tensor
        if candidate is not None:
            candidate = _of_channels(candidate, tensor)
        if candidate is None or candidate.shape != tensor.shape:
            has = " and ".join(keys[:2]) or "nothing" if candidate is None else str(tuple(candidate.shape))
            raise UserError(
                f"{source} does not fit: {key} needs {tuple(tensor.shape)}, the file has {has}: "
                "give the weights of this encoder"
            )
        found[key] = candidate
    return found


def _of_channels(given: Tensor, wanted: Tensor) -> Tensor:
    """Return a first layer's weights for images of RGB as those for images of other channels.

    Other weights stay as they are: only a first layer reads three channels where the encoder reads
    another number.
    """
    first = given.ndim == wanted.ndim == 4 and given.shape[1] == 3
    if not first or given.shape[:1] + given.shape[2:] != wanted.shape[:1] + wanted.shape[2:]:
        return given
    return adapt_input_conv(wanted.shape[1], given)


def _keys_by_name(given: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys of ``given`` by flat names, whole and without prefixes.

    A whole key takes precedence over keys that get the same name without prefixes.
    """
    keys: dict[str, list[str]] = defaultdict(list)
    for key in given:
        for name in _shorter_names(key)[1:]:
            keys[_flat(name)].append(key)
    return keys | {_flat(key): [key] for key in given}


def _further_block(wanted: Iterable[str], given: Iterable[str]) -> str | None:
    """Return the first key of ``given`` in a numbered block that ``wanted`` lacks, or None.

    The weights of a ResNet-34 have every tensor of a ResNet-18, and more blocks.
    """
    words = [tuple(_plain(key).split("_")) for key in wanted]
    paths = {path[:end] for path in words for end in range(1, len(path) + 1)}
    numbered = {path[:-1] for path in paths if path[-1].isdigit()}
    for key in given:
        path = tuple(_plain(key).split("_"))
        end = next((end for end in range(1, len(path) + 1) if path[:end] not in paths), 0)
        if end and path[end - 1].isdigit() and path[: end - 1] in numbered:
            return key
    return None


def _plain(key: str) -> str:
    return _flat(_shorter_names(key)[-1])


def _flat(key: str) -> str:
    return key.replace(".", "_")
