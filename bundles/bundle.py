"""The bundle: a folder or .zip with all files for prediction and nothing else.

A bundle has no pickle. Loading it executes nothing from it and reads nothing outside its folder.
``bundle.json`` has the sha256 of every file and of itself. The hashes detect damage; forgery is
detected by a signature (``bundles.signature``).
"""

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..data.data_config import DataConfig, SplitConfig
from ..errors import UserError
from ..trials.paired import PairedDifference, describe_difference
from ..trials.trial_config import TrialConfig
from .archive import check_inside, list_files, pack, read_text_file, unpack
from .inference import Inference, describe_inference
from .signature import SIGNATURE, check_signature

RECORD = "bundle.json"
WEIGHTS = "weights.safetensors"
BOOSTER = "booster.ubj"
BOOSTER_ONNX = "booster.onnx"
ONNX = "model.onnx"
MASK_ONNX = "mask.onnx"
CARD = "README.md"
IMAGES = "images.json"
SAMPLES = "samples"

# The part of scores that are cross-validated.
FOLDS = "cross-validation"

_DIGEST = "record_sha256"
_SHOWN = 5


def fold_weights(fold: int) -> str:
    """Return the name of a trial's file with the weights of ``fold``, counted from 0."""
    return f"weights.fold{fold + 1}.safetensors"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Count = Annotated[int, Field(ge=0)]


class Source(_Model):
    """The trial that a part of the bundle comes from."""

    study: str
    kind: str
    trial: Count
    objective: str
    value: float
    seed: int


class Member(_Model):
    """A trial of an ensemble; ``weight`` is its share in the mean of probabilities."""

    source: Source
    config: TrialConfig
    weight: float = Field(gt=0, le=1)


class Interval(_Model):
    """A score with its 95 % interval."""

    value: float
    low: float
    high: float


class CrossValidated(_Model):
    """The cross-validation that scored a bundle: folds, seed, and the images that were held out."""

    folds: int = Field(ge=2)
    seed: int
    images: Count


class ProbeComparison(_Model):
    """The bundle's accuracy minus that of a linear probe on the same images of the test split.

    The probe is logistic regression on the pooled features of a frozen, pretrained ``encoder``,
    fitted on the images that the bundle was fitted on. The fields are those of
    ``trials.paired.PairedDifference``.
    """

    encoder: str
    accuracy: float
    images: Count
    difference: float
    low: float
    high: float
    gained: Count
    lost: Count
    p_value: float

    def sentence(self) -> str:
        """Return the comparison as a sentence without a full stop."""
        found = PairedDifference(**self.model_dump(exclude={"encoder", "accuracy"}))
        return describe_difference(found, first="the bundle", images="test")


class BundleRecord(_Model):
    """The content of ``bundle.json``: config, origin, scores by split, and file hashes.

    ``sources`` names one trial of each kind, the best single one; ``config`` is theirs.
    ``mask_data`` is the decoder's ``data`` if it is another than ``config.data``, that of the
    labels. For a kind with an ensemble, ``members`` lists all its trials, the one in
    ``sources`` first. A trial with folds is the ensemble of its networks, and is listed once for
    each. ``members`` is empty without ensembles.

    A bundle of ``venation try`` has no sources, and in place of scores by split those of a
    cross-validation. ``versus_probe`` is None if there was no probe to compare with. An image whose
    most probable class has less than ``min_probability`` is answered ``unknown`` (see
    ``trials.unknown``); None answers every image with a class.
    """

    schema_version: Literal[1] = 1
    sources: tuple[Source, ...]
    members: tuple[Member, ...] = Field(default=(), max_length=64)
    config: TrialConfig
    mask_data: DataConfig | None = None
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=2, max_length=100_000)
    metrics: dict[str, dict[str, Interval]]
    images: dict[str, Count]
    data_fingerprint: str
    split: SplitConfig
    cross_validation: CrossValidated | None = None
    versus_probe: ProbeComparison | None = None
    min_probability: float | None = Field(default=None, ge=0, le=1)
    provenance: dict[str, Any]
    licence: str = "not stated"
    inference: Inference | None = None
    files: dict[str, str] = {}
    record_sha256: str = ""

    @field_validator("classes")
    @classmethod
    def _differ(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) < len(classes):
            raise ValueError("two classes have one name")
        return classes

    @field_validator("provenance")
    @classmethod
    def _readable(cls, found: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(found.get("versions", {}), dict) or not isinstance(found.get("commit"), str | None):
            raise ValueError("versions or commit have another form")
        return found

    @model_validator(mode="after")
    def _counted(self) -> Self:
        counts = self.images if self.cross_validation is None else (FOLDS,)
        if uncounted := [part for part in self.metrics if part not in counts]:
            raise ValueError(f"metrics have a part without images: {uncounted[0][:40]}")
        return self

    @property
    def mask_view(self) -> DataConfig:
        """The view of the images that the masks are predicted from."""
        return self.mask_data or self.config.data

    @property
    def second_view(self) -> DataConfig | None:
        """The view of the masks if images look otherwise in it than in that of the labels."""
        return None if self.mask_view.same_view(self.config.data) else self.mask_view

    @property
    def mask_graph(self) -> str:
        """The ONNX file with the masks: one graph is for views of one size."""
        return ONNX if self.mask_view.size_HW == self.config.data.size_HW else MASK_ONNX

    @property
    def has_booster(self) -> bool:
        """Whether a booster decides the labels, not the network's own head."""
        return any(source.kind == "booster" for source in self.sources) and self.config.boost.booster != "head"

    def describe(self) -> Inference:
        """Return how the bundle prepares images and reads its graphs' outputs."""
        return describe_inference(
            self.config,
            self.mask_view,
            graphs=(ONNX, self.mask_graph),
            booster=BOOSTER_ONNX if self.has_booster else None,
            unknown=self.min_probability,
        )

    def has_folds(self, kind: str) -> bool:
        """Return whether the members of one kind are the networks of one trial's folds."""
        trials = [(member.source.study, member.source.trial) for member in self.members_of(kind)]
        return len(trials) > len(set(trials))

    def members_of(self, kind: str) -> tuple[Member, ...]:
        """Return the ensemble members of one kind; empty for a single trial."""
        return tuple(member for member in self.members if member.source.kind == kind)

    def score_rows(self) -> list[dict[str, Any]]:
        """Return the metrics as rows: split (``part``), images, metric, value and its interval."""
        images = self.images if self.cross_validation is None else {FOLDS: self.cross_validation.images}
        return [
            {"part": split, "images": images[split], "metric": name, **score.model_dump()}
            for split, scores in self.metrics.items()
            for name, score in scores.items()
        ]


def write_bundle(
    out: Path, record: BundleRecord, fill: Callable[[Path], None], verify: Callable[[Path, BundleRecord], object]
) -> Path:
    """Write a bundle to ``out`` (a folder, or a file that ends in .zip) and return its path.

    ``fill`` writes the files into an empty folder; ``verify`` loads the finished folder and raises
    if it is wrong. The bundle is built in a temporary folder: ``out`` appears complete or not at
    all. Raises UserError if ``out`` exists or the disk is full.
    """
    if out.exists():
        raise UserError(f"`{out}` exists; remove it or choose another path with -o.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as aside:
            folder = Path(aside) / "bundle"
            folder.mkdir()
            fill(folder)
            files = {path.relative_to(folder).as_posix(): sha256(path) for path in list_files(folder)}
            full = record.model_copy(update={"files": files, "inference": record.describe()})
            write_record(folder, full)
            verify(folder, full)
            finished = pack(folder, Path(aside) / "bundle.zip") if out.suffix == ".zip" else folder
            os.replace(finished, out)
    except OSError as error:
        raise UserError(
            f"cannot write the bundle to `{out}` ({error.strerror or error}); nothing was left there: make room or"
            " choose another path with -o."
        ) from None
    return out


def write_record(folder: Path, record: BundleRecord) -> None:
    """Write ``bundle.json`` with the sha256 of its content."""
    fields = json.loads(record.model_dump_json(exclude={_DIGEST}))
    (folder / RECORD).write_text(json.dumps(fields | {_DIGEST: _digest(fields)}, indent=2) + "\n")


@contextmanager
def open_bundle(bundle: Path) -> Iterator[Path]:
    """Yield the bundle as a folder with checked paths; a .zip is unpacked to a temporary folder.

    Raises UserError if it is not a bundle, is damaged or names a path outside itself.
    """
    if bundle.is_dir():
        yield _root(bundle, bundle)
        return
    if not zipfile.is_zipfile(bundle):
        raise UserError(f"`{bundle}` is not a bundle; give the folder or the .zip that `venation bundle export` wrote.")
    with tempfile.TemporaryDirectory(prefix="venation-bundle-") as aside:
        unpack(bundle, Path(aside))
        yield _root(bundle, Path(aside))


@contextmanager
def open_verified(bundle: Path, *, signed: bool = True) -> Iterator[tuple[Path, BundleRecord]]:
    """Yield the opened folder and its record after a check of all file hashes.

    With ``signed``, also check the signature, if the user trusts certain keys only. Raises
    UserError if a file is missing, added or changed, and for a bundle of no trusted key.
    """
    with open_bundle(bundle) as folder:
        record = load_intact(bundle, folder)
        if signed:
            check_signature(bundle, folder, record.record_sha256)
        yield folder, record


def load_intact(bundle: Path, folder: Path) -> BundleRecord:
    """Return the record of an opened bundle after a check of all file hashes.

    Raises UserError if a file is missing, added or changed.
    """
    record = load_record(folder)
    if damage := damaged_files(folder, record):
        more = f"; and {len(damage) - _SHOWN} more" if len(damage) > _SHOWN else ""
        listed = "; ".join(damage[:_SHOWN])
        raise UserError(f"bundle `{bundle}` is damaged: {listed}{more}. Copy or export it again.")
    return record


def read_record(bundle: Path) -> BundleRecord:
    """Return the bundle's record. Raises UserError if it is missing or invalid."""
    with open_bundle(bundle) as folder:
        return load_record(folder)


def load_record(folder: Path) -> BundleRecord:
    """Return the record of an opened bundle.

    Raises UserError if it is invalid, damaged or names a path outside the folder.
    """
    content = read_text_file(folder / RECORD)
    try:
        record = BundleRecord.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "its text"
        raise UserError(
            f"{RECORD} is not understood by this version ({where}: {first['msg']}); export the bundle again."
        ) from None
    # Hash the text, not the model: defaults of a later version must not change the hash of an older
    # record.
    fields = json.loads(content)
    if fields.pop(_DIGEST, None) != _digest(fields):
        raise UserError(f"{RECORD} was changed: its sha256 is not the recorded one; copy or export the bundle again.")
    for name in record.files:
        check_inside(folder, name)
    return record


def damaged_files(folder: Path, record: BundleRecord) -> list[str]:
    """Return a message for each file of an opened bundle that is missing, changed or unknown."""
    present = {path.relative_to(folder).as_posix(): path for path in list_files(folder)}
    for name in (RECORD, SIGNATURE):
        present.pop(name, None)
    rows = [f"{name} is missing" for name in record.files if name not in present]
    rows += [f"{name} is not in {RECORD}" for name in present if name not in record.files]
    changed = (name for name, digest in record.files.items() if name in present and sha256(present[name]) != digest)
    return rows + [f"{name} was changed: its sha256 is not the recorded one" for name in changed]


def sha256(path: Path) -> str:
    """Return the sha256 of a file as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(fields: dict[str, Any]) -> str:
    """Return the sha256 of the canonical JSON: keys sorted, no spaces."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _root(bundle: Path, folder: Path) -> Path:
    """Return the folder with the record; an archive may have its bundle one folder down."""
    list_files(folder)
    inner = list(folder.iterdir())
    if folder != bundle and len(inner) == 1 and inner[0].is_dir():
        folder = inner[0]
    if not (folder / RECORD).is_file():
        raise UserError(f"`{bundle}` has no {RECORD}: it is not a bundle, or not a complete one; export it again.")
    return folder
