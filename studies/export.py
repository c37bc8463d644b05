"""Export the best trials of studies as one bundle, and score it once on the sealed test split."""

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from ..bundles.booster_graph import write_booster_graph
from ..bundles.bundle import write_bundle
from ..bundles.card import model_card
from ..bundles.compact import Compact, LowPrecision
from ..bundles.load_network import LoadedBundle
from ..bundles.measure_compact import add_compact
from ..bundles.onnx_model import write_graphs
from ..bundles.parity import verify_new
from ..bundles.record import BOOSTER, BOOSTER_ONNX, CARD, WEIGHTS, BundleRecord, Member
from ..bundles.samples import write_samples
from ..bundles.scoring import write_image_hashes
from ..data.data_config import DataConfig
from ..data.manifest import Manifest, evenly_spaced
from ..errors import UsageError, UserError
from ..models.build import build_network
from ..models.ensemble_network import Ensemble
from ..models.memory_format import CPU, place
from ..models.network import MultitaskNetwork
from ..search.spec import split_base
from ..storage.artifacts import Artifacts, get_file
from ..trials.booster import Booster
from ..trials.checkpoint import load_weights, read_weights, write_weights
from ..trials.kinds import Kind
from ..trials.trial_config import TrialConfig
from .base import base_study, find_file, pinned_base, recorded_config
from .context import StudyContext, open_context
from .ensemble import Pick, choose_members, pick_network
from .export_record import scored_record
from .registry import best_trial, get_trial, no_result, open_study
from .reproduced import require_reproduced
from .unknown_threshold import unknown_threshold

log = logging.getLogger(__name__)

NUM_SAMPLES = 4

T = TypeVar("T")


def export_studies(
    storage: RDBStorage,
    artifacts: Artifacts,
    names: Sequence[str],
    *,
    out: Path,
    data: Path | None = None,
    device: str = "auto",
    top: int = 1,
    precisions: Sequence[LowPrecision] = (),
) -> Path:
    """Write the best trials of the studies ``names`` to ``out`` as one bundle and return its path.

    A name is STUDY, or STUDY:NUMBER for another trial than the best. There may be one study of each
    kind; a decoder or booster study brings the classifier that it freezes, and a multitask study is
    a bundle by itself. With ``top`` above 1 the
    bundle averages up to that many trials of each named study, the named one first, see
    ``choose_members``. Of a study with folds it averages the networks of the trial. For each of
    ``precisions`` the bundle has its graphs once more, measured on the validation split. The sealed
    test split is scored here, once. Raises UserError if a study has no finished trial, if two
    freeze different classifiers, or if the bundle cannot be written; UsageError for several
    boosters; DataError if the data are not the studies'.
    """
    if out.exists():
        raise UserError(f"`{out}` exists; remove it or choose another path with -o.")
    named = [_named(storage, name) for name in names]
    picks, handles = _gather(named), [pick.handle for pick in named]
    if top > 1 and Kind.BOOSTER in picks:
        name = picks[Kind.BOOSTER].handle.study.study_name
        raise UsageError(f"--top {top}: boosters are not averaged, and `{name}` is a booster study; leave out either.")
    folds = [handle.study.study_name for handle in handles if handle.spec.folds]
    if top > 1 and folds:
        raise UsageError(f"--top {top}: a trial of `{folds[0]}` is an ensemble of its folds already; leave --top out.")
    context = open_context(_label_pick(picks).handle, artifacts, device=device, data=data)
    config, mask_data = _config(picks)
    network, booster = _network(picks, artifacts, config, context), _booster(picks, artifacts)
    members: tuple[Member, ...] = ()
    if top > 1 or folds:
        chosen = [handle for handle in handles if top > 1 or handle.spec.folds]
        contexts = [open_context(handle, artifacts, device=device, data=data) for handle in chosen]
        network, members = _join(network, picks, contexts, top=top)
    log.info("scoring the sealed test split (%d images)", len(context.manifest.split("test")))
    record = scored_record(picks, context, config, mask_data, (network, booster))
    unknown = unknown_threshold(picks.get(Kind.BOOSTER, _label_pick(picks)), artifacts)
    record = record.model_copy(update={"members": members, "min_probability": unknown})
    require_reproduced(picks, record)
    parts = LoadedBundle(record, place(network, CPU).eval(), booster)
    samples = [sample.image for sample in evenly_spaced(context.manifest.split("val"), NUM_SAMPLES)]

    def fill(folder: Path) -> BundleRecord:
        write_weights(network.state_dict(), folder / WEIGHTS)
        if booster is not None:
            booster.save(folder / BOOSTER)
            write_booster_graph(booster, folder / BOOSTER_ONNX)
        write_graphs(network, record, folder)
        write_samples(parts, samples, folder)
        write_image_hashes(context.manifest, folder)
        full = record.model_copy(update={"compact": _compact(folder, parts, precisions, context.manifest)})
        (folder / CARD).write_text(model_card(full))
        return full

    return write_bundle(out, record, fill, verify_new)


def _compact(
    folder: Path, parts: LoadedBundle, precisions: Sequence[LowPrecision], manifest: Manifest
) -> tuple[Compact, ...]:
    """Write and measure the graphs of each precision, and say what each loses and gains."""
    made = []
    for precision in precisions:
        log.info("writing and measuring the graphs in %s", precision)
        low = add_compact(folder, parts, precision, train=manifest.split("train"), val=manifest.split("val"))
        log.info("%s", low.sentence())
        if lost := low.great_loss():
            log.warning("%s: the graphs in fp32 are beside them", lost)
        made.append(low)
    return tuple(made)


def _named(storage: RDBStorage, text: str) -> Pick:
    """Return the trial STUDY:NUMBER, or the best one of STUDY; UserError if it has not finished."""
    name, number = split_base(text)
    handle = open_study(storage, name)
    trial = best_trial(handle) if number is None else get_trial(handle, number)
    if trial is None:
        raise no_result(handle)
    if trial.state != TrialState.COMPLETE:
        raise UserError(f"trial `{text}` is {trial.state.name}, and only a COMPLETE one can be exported.")
    return Pick(handle, trial)


def _gather(named: Sequence[Pick]) -> dict[Kind, Pick]:
    """Return one pick for each kind, with the frozen classifier among them."""
    picks: dict[Kind, Pick] = {}
    for pick in named:
        kind, name = pick.handle.spec.kind, pick.handle.study.study_name
        if kind in picks:
            raise UsageError(f"`{picks[kind].handle.study.study_name}` and `{name}` are both {kind} studies; name one.")
        picks[kind] = pick
    if Kind.MULTITASK in picks and len(picks) > 1:
        name = picks[Kind.MULTITASK].handle.study.study_name
        raise UsageError(f"`{name}` is a {Kind.MULTITASK} study, whose network gives label and mask; export it alone.")
    for pick in [pick for kind, pick in picks.items() if kind.facts.needs_base]:
        base = pinned_base(pick.handle)
        assert base is not None  # the study has a finished trial, so its base is pinned
        frozen = Pick(base_study(pick.handle), base)
        other = picks.setdefault(Kind.CLASSIFIER, frozen)
        if other.source() != frozen.source():
            a, b = (f"{p.handle.study.study_name}:{p.trial.number}" for p in (other, frozen))
            raise UserError(f"the studies stand on different classifiers (`{a}` and `{b}`); name studies of one base.")
    return picks


def _label_pick(picks: Mapping[Kind, Pick]) -> Pick:
    """Return the trial whose network gives the labels."""
    return picks.get(Kind.MULTITASK) or picks[Kind.CLASSIFIER]


def _config(picks: dict[Kind, Pick]) -> tuple[TrialConfig, DataConfig | None]:
    """Return the bundle's config, and the decoder's ``data`` if it is not the classifier's.

    The config is the decoder trial's, else the classifier's, with the classifier's view and the
    booster's part.
    """
    label_config = recorded_config(_label_pick(picks).trial)
    config = recorded_config(picks[Kind.DECODER].trial) if Kind.DECODER in picks else label_config
    mask_data = config.data if config.data != label_config.data else None
    own: dict[str, Any] = {"data": label_config.data}
    if Kind.BOOSTER in picks:
        own["boost"] = recorded_config(picks[Kind.BOOSTER].trial).boost
    return config.model_copy(update=own), mask_data


def _network(
    picks: dict[Kind, Pick], artifacts: Artifacts, config: TrialConfig, context: StudyContext
) -> MultitaskNetwork:
    weights: dict[str, torch.Tensor] = {}
    for kind in (Kind.CLASSIFIER, Kind.DECODER, Kind.MULTITASK):
        if kind in picks:
            weights |= _fetch(picks[kind], artifacts, picks[kind].file, read_weights)
    network = build_network(config.with_random_encoder().network(len(context.manifest.classes)))
    load_weights(network, weights, source="the exported trials")
    return network


def _join(
    first: MultitaskNetwork, picks: Mapping[Kind, Pick], contexts: Sequence[StudyContext], *, top: int
) -> tuple[MultitaskNetwork, tuple[Member, ...]]:
    """Return ``first`` joined with the networks that improve it, and the members of each team."""
    rest: dict[Kind, list[MultitaskNetwork]] = {Kind.CLASSIFIER: [], Kind.DECODER: [], Kind.MULTITASK: []}
    members: list[Member] = []
    for context in contexts:
        kind = context.spec.kind
        team = choose_members(picks[kind], context, top=top)
        rest[kind] = [pick_network(pick, context) for pick in team[1:]]
        if rest[kind]:
            members += [Member(source=pick.source(), config=pick.config, weight=1 / len(team)) for pick in team]
    if not members:
        return first, ()
    labels, masks = rest[Kind.MULTITASK] or rest[Kind.CLASSIFIER], rest[Kind.DECODER]
    shares = [1 / (1 + len(labels))] * (1 + len(labels))
    joined = Ensemble(
        first,
        others=labels,
        masks=masks,
        label_weights=shares,
        mask_weights=[1 / (1 + len(masks))] * (1 + len(masks)) if masks else shares[:1],
    )
    return joined, tuple(members)


def _booster(picks: dict[Kind, Pick], artifacts: Artifacts) -> Booster | None:
    """Return the best booster; None if it is the network's own head."""
    if Kind.BOOSTER not in picks or recorded_config(picks[Kind.BOOSTER].trial).boost.booster == "head":
        return None
    return _fetch(picks[Kind.BOOSTER], artifacts, BOOSTER, Booster.load)


def _fetch(pick: Pick, artifacts: Artifacts, name: str, read: Callable[[Path], T]) -> T:
    find_file(pick.handle, pick.trial, name)
    with tempfile.TemporaryDirectory(prefix="venation-") as folder:
        return read(get_file(artifacts, pick.trial, name, to=Path(folder), storage=pick.handle.storage))
