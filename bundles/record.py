"""The record of a bundle, ``bundle.json``: config, origin, scores; and the names of its files."""

from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..data.data_config import DataConfig, SplitConfig
from ..trials.paired import PairedDifference, describe_difference
from ..trials.trial_config import TrialConfig
from .compact import Compact, Precision
from .inference import Inference, describe_inference

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


def fold_weights(fold: int) -> str:
    """Return the name of a trial's file with the weights of ``fold``, counted from 0."""
    return f"weights.fold{fold + 1}.safetensors"


def graph_name(graph: str, precision: Precision) -> str:
    """Return the name of the file that has ``graph`` in a precision, such as model-int8.onnx."""
    return graph if precision == "fp32" else f"{PurePath(graph).stem}-{precision}.onnx"


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
    ``trials.unknown``); None answers every image with a class. ``compact`` describes the graphs in
    a lower precision that lie beside those in fp32.
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
    compact: tuple[Compact, ...] = Field(default=(), max_length=2)
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
    def graphs(self) -> tuple[str, ...]:
        """The ONNX files of the network: one, or one for labels and one for masks."""
        has_masks = self.config.decoder.kind != "none"
        return (ONNX, self.mask_graph) if has_masks and self.mask_graph != ONNX else (ONNX,)

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
