"""Load the network and the booster of a bundle, to run them in torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..models.build import build_network
from ..models.ensemble_network import build_ensemble
from ..models.memory_format import CPU, place
from ..models.network import MultitaskNetwork
from ..trials.booster import Booster
from ..trials.checkpoint import check_weights, load_weights, read_weights
from ..trials.kinds import Kind
from ..trials.predict import Predictor
from .record import BOOSTER, RECORD, WEIGHTS, BundleRecord


@dataclass(frozen=True)
class LoadedBundle:
    """An opened bundle, ready to predict."""

    record: BundleRecord
    network: MultitaskNetwork
    booster: Booster | None

    def predictor(self, *, device: torch.device | None, flips: bool) -> Predictor:
        """Return the predictor of the bundle's network, classes, views and booster."""
        return Predictor(
            self.network,
            self.record.classes,
            self.record.config.data,
            mask_config=self.record.second_view,
            booster=self.booster,
            device=device,
            flips=flips,
        )


def load_parts(folder: Path, record: BundleRecord) -> LoadedBundle:
    """Return the network and the booster of an opened bundle.

    The network is in eval mode on the CPU, an Ensemble if the bundle has members.
    """
    weights = read_weights(folder / WEIGHTS)
    _check_config(record, weights)
    network = _empty_network(record)
    load_weights(network, weights, source=WEIGHTS)
    booster = Booster.load(folder / BOOSTER) if BOOSTER in record.files else None
    if booster is not None and booster.num_classes != len(record.classes):
        raise UserError(
            f"{BOOSTER} has {booster.num_classes} classes, {RECORD} has {len(record.classes)}: export again."
        )
    return LoadedBundle(record, place(network, CPU).eval(), booster)


def _check_config(record: BundleRecord, weights: Mapping[str, Tensor]) -> None:
    """Compare the record's network with the weights before it takes memory and time."""
    try:
        with torch.device("meta"):
            network = _empty_network(record)
    except UserError:
        raise
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"the network of {RECORD} cannot be built ({reason}); export the bundle again.") from None
    check_weights(network, weights, source=WEIGHTS)


def _empty_network(record: BundleRecord) -> MultitaskNetwork:
    classes = len(record.classes)
    first = record.config.with_random_encoder().network(classes)
    if not record.members:
        return build_network(first)
    both = record.members_of(Kind.MULTITASK)
    members = {"label": both or record.members_of(Kind.CLASSIFIER), "mask": record.members_of(Kind.DECODER)}
    rest = {
        kind: [member.config.with_random_encoder().network(classes) for member in group[1:]]
        for kind, group in members.items()
    }
    weights = {kind: [member.weight for member in group] or [1.0] for kind, group in members.items()}
    # Whole networks share their mean between label and mask.
    if both:
        weights["mask"] = weights["label"][:1]
    return build_ensemble(
        first,
        others=rest["label"],
        masks=rest["mask"],
        label_weights=weights["label"],
        mask_weights=weights["mask"],
        whole=bool(both),
    )
