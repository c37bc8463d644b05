"""The weights that a study's networks start from: read from a source, checked, stored, loaded."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from optuna.storages import RDBStorage
from optuna.trial import TrialState
from torch import Tensor

from ..bundles.bundle import open_verified, sha256
from ..bundles.record import RECORD, WEIGHTS, BundleRecord
from ..data.data_config import SplitConfig
from ..data.fingerprint import fingerprint
from ..errors import DataError, UsageError, UserError
from ..models.build import build_network
from ..models.encoder_weights import read_tensors
from ..models.network import MultitaskNetwork
from ..search.handle import StudyHandle
from ..search.init_source import InitSource
from ..search.spec import StudySpec, split_base
from ..storage.artifacts import Artifacts, get_file, list_files
from ..storage.embedded import home
from ..trials.auto_fields import resolve_auto
from ..trials.checkpoint import DECODER, read_weights, write_weights
from ..trials.fitting import Fitted, adapt_tensors, decoder_tensors, load_fitting
from ..trials.kinds import Kind
from ..trials.trial_config import TrialConfig
from .base import base_study, find_file, pinned_base, recorded_config
from .data import load_parts, load_split
from .registry import best_trial, find_study, get_trial, no_result, open_study

FILE = "first-weights.safetensors"
_SHOWN = 3


@dataclass(frozen=True)
class _Read:
    """Tensors as read; of a file neither the encoder, the classes nor the images are known.

    They have learned from the parts ``learned`` of the data with this ``fingerprint`` in ``split``.
    """

    origin: InitSource
    tensors: dict[str, Tensor]
    encoder: str | None = None
    classes: tuple[str, ...] = ()
    fingerprint: str = ""
    split: SplitConfig = SplitConfig()
    learned: tuple[str, ...] = ("train",)


@dataclass(frozen=True)
class FirstWeights:
    """Tensors under the names of the study's networks, their origin, and how they fit trial 0.

    With ``probe`` a linear probe of the loaded features then replaces the loaded head.
    """

    origin: InitSource
    tensors: dict[str, Tensor]
    fitted: Fitted
    probe: bool = False

    def lines(self) -> list[str]:
        """Return what trial 0 takes over and what not; the first line has counts and names."""
        fitted = self.fitted
        said = f"starts from {self.origin}: {len(fitted.taken)} tensors"
        if fitted.fresh:
            said += f"; {len(fitted.fresh)} of the network are not among them ({_some(fitted.fresh)})"
        if fitted.left:
            said += f"; {len(fitted.left)} do not fit ({_some(fitted.left)})"
        if self.probe and "head.weight" in fitted.taken:
            said += "; the head then starts as a linear probe, and --set train.head_start=random keeps the loaded one"
        return [said, *(f"not given: {name}" for name in fitted.fresh), *(f"left out: {name}" for name in fitted.left)]


def first_weights(
    storage: RDBStorage, artifacts: Artifacts, given: str, spec: StudySpec, base: TrialConfig | None
) -> FirstWeights:
    """Read the weights of ``given`` for the networks of ``spec``.

    ``given`` is a bundle, a file of safetensors or of tensors saved by torch, or STUDY or
    STUDY:NUMBER. A study with a ``base``, the config of its base's trial, takes the decoder alone.
    Raises UsageError for a source that does not exist and for a kind without a network, UserError
    for another encoder, for weights of which not all of the encoder (or nothing of the decoder)
    fits, for weights that have learned from images that the study validates or tests on, and for an
    unreadable file.
    """
    if not spec.kind.facts.has_epochs:
        raise UsageError(f"a {spec.kind} study trains no network that `--init {given}` could start; leave it out.")
    read = _read(storage, artifacts, given)
    config = spec.on_base(base)
    source, encoder = f"`{given}`", config.encoder.name
    if read.encoder not in (None, encoder):
        fix = f"give --set encoder.name={read.encoder}" if base is None else "give one with the base's encoder"
        raise UserError(f"{source} has the encoder {read.encoder}, and the study {encoder}: {fix}, or another --init.")
    _check_unseen(read, spec)
    network = _network(config, spec)
    if base is None:
        names = {"classes": spec.classes, "given_classes": read.classes}
        tensors = adapt_tensors(network, read.tensors, encoder=encoder, source=source, **names)
    else:
        tensors = decoder_tensors(network, read.tensors, source=source)
    fitted = load_fitting(network, tensors)
    left = (*fitted.left, *_head_of_others(read, tensors))
    fresh = fitted.fresh if base is None else tuple(name for name in fitted.fresh if name.startswith(DECODER))
    probe = resolve_auto(config).train.head_start == "probe"
    return FirstWeights(read.origin, tensors, Fitted(fitted.taken, fresh, left), probe)


def keeps_source(given: str, source: InitSource | None) -> bool:
    """Tell whether a study whose weights are of ``source`` was created with ``given``.

    The best trial of a study is the best one when the study was created. Of a bundle or a file only
    reading tells.
    """
    return source is not None and source.form == "trial" and given in (source.source, split_base(source.source)[0])


def write_first_weights(tensors: Mapping[str, Tensor], folder: Path) -> Path:
    """Write the tensors to the file that a study stores; return its path."""
    write_weights(tensors, folder / FILE)
    return folder / FILE


def stored_first_weights(handle: StudyHandle, artifacts: Artifacts) -> dict[str, Tensor]:
    """Return the weights that are stored with a study, downloaded once to this machine.

    Raises UserError if they are gone or damaged, StoreFailed if the store does not answer.
    """
    file = next(file for file in list_files(handle.study) if file.filename == FILE)
    path = home() / "cache" / "weights" / f"{file.sha256}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        get_file(artifacts, handle.study, FILE, to=path)
    return read_weights(path)


def _read(storage: RDBStorage, artifacts: Artifacts, given: str) -> _Read:
    path, named = Path(given), find_study(storage, given.partition(":")[0]) is not None
    # A study may have the name of a folder here, say of its images.
    if (path / RECORD).is_file() or (path.is_file() and path.suffix == ".zip") or (path.is_dir() and not named):
        with open_verified(path) as (folder, record):
            origin = InitSource(source=given, form="bundle", sha256=record.record_sha256)
            known = (record.config.encoder.name, record.classes, record.data_fingerprint, record.split)
            return _Read(origin, read_weights(folder / WEIGHTS), *known, _learned(record))
    if path.is_file():
        return _Read(InitSource(source=given, form="file", sha256=sha256(path)), read_tensors(path))
    if not named:
        raise UsageError(f"`--init {given}` is no file, no bundle and no study; give one of them.")
    name, number = split_base(given)
    return _read_trial(open_study(storage, name), number, artifacts, given)


def _read_trial(handle: StudyHandle, number: int | None, artifacts: Artifacts, given: str) -> _Read:
    trial = best_trial(handle) if number is None else get_trial(handle, number)
    if trial is None:
        raise no_result(handle)
    if trial.state != TrialState.COMPLETE or handle.spec.folds or not handle.spec.kind.facts.has_epochs:
        what = f"a trial of {handle.spec.folds} networks" if handle.spec.folds else f"{trial.state.name}, or a booster"
        raise UserError(f"`--init {given}` is {what}, and weights come from the one network of a COMPLETE trial.")
    file = find_file(handle, trial, WEIGHTS)
    tensors: dict[str, Tensor] = {}
    frozen = None if handle.spec.base is None else pinned_base(handle)
    sources = [(handle, trial)] if frozen is None else [(base_study(handle), frozen), (handle, trial)]
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        for owner, each in sources:
            find_file(owner, each, WEIGHTS)
            tensors |= read_weights(get_file(artifacts, each, WEIGHTS, to=Path(folder), storage=owner.storage))
    origin = InitSource(source=f"{handle.study.study_name}:{trial.number}", form="trial", sha256=file.sha256 or "")
    spec = handle.spec
    return _Read(origin, tensors, recorded_config(trial).encoder.name, spec.classes, spec.fingerprint, spec.split)


def _learned(record: BundleRecord) -> tuple[str, ...]:
    if record.cross_validation is not None:
        return ("train", "val", "test")
    return ("train", "val") if any(map(record.has_folds, Kind)) else ("train",)


def _check_unseen(read: _Read, spec: StudySpec) -> None:
    """Raise UserError if the weights know images that judge the study; its scores would mislead."""
    data = Path(spec.data)
    if not read.fingerprint or (read.split == spec.split and read.learned == ("train",) and not spec.folds):
        return
    try:
        theirs, prints = load_split(data, read.split)
    except DataError:
        return  # their split does not suit these images, which are others
    if fingerprint(prints) != read.fingerprint:
        return
    own = load_parts(data, spec.split)
    learned = {sample.image for part in read.learned for sample in theirs.split(part)}
    parts = ("train", "val", "test") if spec.folds else ("val", "test")
    if seen := sum(sample.image in learned for part in parts for sample in own.split(part)):
        raise UserError(
            f"`{read.origin.source}` has learned from {seen} of the images that this study validates or tests on: give"
            f" weights of other images, or the split of theirs (--seed {read.split.seed}, no --folds)."
        )


def _network(config: TrialConfig, spec: StudySpec) -> MultitaskNetwork:
    return build_network(config.with_random_encoder().network(len(spec.classes)))


def _head_of_others(read: _Read, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    dropped = (name for name in read.tensors if name.startswith("head.") and name not in tensors)
    return tuple(f"{name} of other classes" for name in dropped) if read.classes else ()


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
