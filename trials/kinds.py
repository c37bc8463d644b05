"""The kinds of study and the facts in which they differ, in one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from ..errors import UsageError

Task = Literal["classify", "segment", "multitask"]
# ``multitask`` trains for labels and masks at once.
SingleTask = Literal["classify", "segment"]

# The metric of each task that decides between equal values, which are common on small validation
# splits; lower is better.
TIE_BREAK: Mapping[Task, str] = {"classify": "logloss", "segment": "bce", "multitask": "logloss"}

# The figure of XMNet and MNSA (section 3.4), for masks of one structure.
REFERENCE_IOU = "iou_ref"

# The mean of accuracy and IoU, for networks that are trained for both.
MEAN_SCORE = "accuracy_iou"

# The config parts that a study with a base takes from it, besides the view of the images.
BASE_PARTS = ("encoder", "gate", "plugin")


def single_tasks(task: Task) -> tuple[SingleTask, ...]:
    """Return the tasks that a network is trained for: one, or both of ``multitask``."""
    return ("classify", "segment") if task == "multitask" else (task,)


def mean_score(metrics: Mapping[str, float]) -> float:
    """Return the mean of accuracy and IoU, the value of ``MEAN_SCORE``."""
    return (metrics["accuracy"] + metrics["iou"]) / 2


@dataclass(frozen=True, kw_only=True)
class KindFacts:
    """The facts of one kind of study.

    ``objectives`` are the validation metrics that it can optimise, the default first. ``parts`` are
    the config parts that it sets and searches. ``runner`` says how a trial runs: ``train`` trains a
    network for ``task`` epoch by epoch, ``boost`` fits a booster to the features of the base. A
    kind that ``needs_base`` freezes a trial of another study, whose kind ``is_base``, and takes the
    other parts from it; of ``data`` it takes the view, in the fields that it does not set.
    """

    objectives: tuple[str, ...]
    parts: tuple[str, ...]
    runner: Literal["train", "boost"]
    task: Task | None = None
    needs_base: bool = False
    is_base: bool = False

    @property
    def tie_break(self) -> str:
        """The metric that decides between trials with equal objectives; lower is better."""
        return TIE_BREAK[self.task or "classify"]

    @property
    def answers(self) -> tuple[SingleTask, ...]:
        """The tasks that a trial answers: labels, masks or both; a booster gives labels."""
        return single_tasks(self.task or "classify")

    @property
    def has_epochs(self) -> bool:
        """Tell whether a trial trains a network by epochs.

        Only such studies have costs, rungs and a plan.
        """
        return self.runner == "train"

    @property
    def has_folds(self) -> bool:
        """Tell whether a trial can be cross-validated, with ``boost.folds``."""
        return self.runner == "boost"


class Kind(StrEnum):
    """A kind of study."""

    CLASSIFIER = "classifier"
    DECODER = "decoder"
    BOOSTER = "booster"
    MULTITASK = "multitask"

    @property
    def facts(self) -> KindFacts:
        """The facts of this kind."""
        return _FACTS[self]


_FACTS: Mapping[Kind, KindFacts] = {
    Kind.CLASSIFIER: KindFacts(
        objectives=("accuracy", "macro_f1", "logloss"),
        parts=(*BASE_PARTS, "data", "train"),
        runner="train",
        task="classify",
        is_base=True,
    ),
    Kind.DECODER: KindFacts(
        objectives=("iou", "dice", REFERENCE_IOU),
        parts=("decoder", "data", "train"),
        runner="train",
        task="segment",
        needs_base=True,
    ),
    Kind.BOOSTER: KindFacts(objectives=("logloss", "accuracy"), parts=("boost",), runner="boost", needs_base=True),
    Kind.MULTITASK: KindFacts(
        objectives=("accuracy", "macro_f1", "logloss", "iou", "dice", REFERENCE_IOU, MEAN_SCORE),
        parts=(*BASE_PARTS, "decoder", "data", "train"),
        runner="train",
        task="multitask",
    ),
}


def read_kind(name: str) -> Kind:
    """Return the kind called ``name``. Raises UsageError that lists the kinds otherwise."""
    try:
        return Kind(name)
    except ValueError:
        raise UsageError(f"kind `{name}` does not exist; the kinds are: {', '.join(Kind)}.") from None
