"""Convert a checkpoint written by the code of the five systems into a bundle."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from ..data.data_config import DataConfig, SplitConfig
from ..data.manifest import SPLITS
from ..data.synthetic import MIN_SIZE, write_leaves
from ..errors import UsageError, UserError
from ..models.build import build_network
from ..models.encoder_weights import read_tensors
from ..models.feature_taps import is_plain_transformer
from ..models.memory_format import CPU, place
from ..models.network import MultitaskNetwork
from ..models.network_config import DecoderConfig, EncoderConfig
from ..trials.checkpoint import write_weights
from ..trials.prediction import expand_paths
from ..trials.provenance import collect_provenance
from ..trials.trial_config import PluginLossConfig, TrainConfig, TrialConfig
from .bundle import sha256, write_bundle
from .checkpoint_formats import System, infer_plugin_config, load_published_weights
from .leaf_checkpoints import LEAF_SYSTEMS, LeafSystem, check_leaf_encoder, load_leaf_weights, num_classes
from .leaf_decoders import GATE_FROM, check_system, decoder_config
from .load_network import LoadedBundle
from .onnx_model import write_graphs
from .parity import verify_new
from .record import CARD, IMAGES, WEIGHTS, BundleRecord
from .samples import write_samples

# The published encoder and size; those of MGANet, XMNet and MNSA are the second ones.
ENCODERS = ("swin_large_patch4_window12_384", "densenet161")
SIZES = (384, 448)

# Both systems squash an image to 510 pixels, whatever size they crop then (PIM section 9).
RESIZE = 510
_NUM_SAMPLES = 4

# The training losses of their heads (PIM section 7, HERBS section 4), for the record and for
# further training.
_LOSSES: dict[System, PluginLossConfig] = {
    "pim": PluginLossConfig(),
    "herbs": PluginLossConfig(stage=0.3, refine=1.375),
}


def import_checkpoint(
    checkpoint: Path,
    *,
    system: System | LeafSystem,
    classes: Path,
    out: Path,
    encoder: str | None = None,
    size: int | None = None,
    resize: int | None = None,
    keep: tuple[float, ...] | None = None,
    gate_from: int | None = None,
    samples: Path | None = None,
) -> Path:
    """Write a bundle from ``checkpoint`` and return its path.

    The checkpoint is a torch.save file of the authors' code, read without unpickling code.
    ``classes`` lists the names, one a line, in label order. Images of PIM and HERBS are resized to
    ``resize`` pixels a side and cropped to ``size``; ``keep`` is needed only if the selected
    positions are not those of a published config. Of MGANet, XMNet and MNSA the classifier is
    imported, of the latter two also a decoder; ``gate_from`` is the first level that XMNet's gates,
    by default the published one. ``samples`` are images for the bundle's self-check; synthetic
    leaves are the default. The bundle has no scores, because its training images are unknown.
    Raises UserError or UsageError with a one-line message for input that does not fit.
    """
    if out.exists():
        raise UserError(f"`{out}` exists; remove it or choose another path with -o.")
    leaf = system in LEAF_SYSTEMS
    encoder = encoder or ENCODERS[leaf]
    size = SIZES[leaf] if size is None else size
    names = _read_names(classes)
    images = None if samples is None else expand_paths([samples])
    if leaf:
        for option, value in (("--resize", resize), ("--keep", keep)):
            if value is not None:
                raise UsageError(f"{option} belongs to PIM and HERBS, not to {system}: leave it out")
        check_leaf_encoder(encoder)
        view = _view(size, fit="whole" if system == "mganet" else "crop")
        given, source = read_tensors(checkpoint), f"`{checkpoint}`"
        decoder = None if system == "mganet" else decoder_config(given, gate_from=gate_from or GATE_FROM, source=source)
        check_system(decoder, system, source)
        if gate_from is not None and (decoder is None or decoder.kind == "mnsa"):
            raise UsageError(f"--gate-from {gate_from} is for a decoder of XMNet, and `{checkpoint}` has none")
        config, network = _leaf_network(given, encoder, view, decoder, source=source)
    else:
        assert system == "pim" or system == "herbs"
        if gate_from is not None:
            raise UsageError(f"--gate-from {gate_from} belongs to XMNet, not to {system}: leave it out")
        view = import_view(size, RESIZE if resize is None else resize)
        config, network = _plugin_network(checkpoint, system, encoder, view, keep=keep)
    count = network.num_classes
    if count != len(names):
        raise UserError(f"`{checkpoint}` has {count} classes, but `{classes}` names {len(names)}: give one name a line")
    record = _record(config, names, checkpoint, system)
    parts = LoadedBundle(record, place(network, CPU).eval(), None)

    def fill(folder: Path) -> None:
        write_weights(network.state_dict(), folder / WEIGHTS)
        write_graphs(network, record, folder)
        with nullcontext(images) if images else _synthetic_leaves(size) as inputs:
            write_samples(parts, inputs[:_NUM_SAMPLES], folder)
        (folder / IMAGES).write_text(json.dumps({split: [] for split in SPLITS}) + "\n")
        (folder / CARD).write_text(_card(record, checkpoint, system))

    return write_bundle(out, record, fill, verify_new)


def _plugin_network(
    checkpoint: Path,
    system: System,
    encoder: str,
    view: DataConfig,
    *,
    keep: tuple[float, ...] | None,
) -> tuple[TrialConfig, MultitaskNetwork]:
    if is_plain_transformer(encoder):
        # Their code also reads the class token and other blocks: the weights would load, but with
        # another meaning.
        raise UsageError(
            f"checkpoints of {system} with the plain transformer {encoder} cannot be imported: give a Swin"
        )
    given, source = read_tensors(checkpoint), f"`{checkpoint}`"
    plugin, count = infer_plugin_config(given, system, keep=keep, source=source)
    config = TrialConfig(
        encoder=EncoderConfig(name=encoder, taps="merged"),
        gate="none",
        plugin=plugin,
        data=view,
        train=TrainConfig(plugin=_LOSSES[system]),
    )
    network = build_network(config.network(count))
    load_published_weights(network, given, system, encoder=encoder, source=source)
    return config, network


def _leaf_network(
    given: Mapping[str, Tensor], encoder: str, view: DataConfig, decoder: DecoderConfig | None, *, source: str
) -> tuple[TrialConfig, MultitaskNetwork]:
    count = num_classes(given, source=source)
    parts = {"encoder": EncoderConfig(name=encoder), "decoder": decoder or DecoderConfig()}
    config = TrialConfig(gate="meanmax", data=view, **parts)
    network = build_network(config.network(count))
    load_leaf_weights(network, given, encoder=encoder, source=source)
    return config, network


def import_view(size: int, resize: int) -> DataConfig:
    """Return the view that resizes to ``resize`` pixels a side and crops the centre of ``size``.

    Raises UsageError for sizes that do not go together.
    """
    if resize < size:
        raise UsageError(
            f"--resize {resize} is less than --size {size}, which is cropped from it: give --resize {size} or more"
        )
    return _view(size, resize=resize)


def _view(size: int, *, resize: int | None = None, fit: str = "squash") -> DataConfig:
    try:
        return DataConfig.model_validate(
            {"size": size, "fit": fit, "zoom": 1 if resize is None else resize / max(1, size)}
        )
    except ValidationError as error:
        problem = error.errors(include_input=False)[0]
        option = f"--size {size}" if problem["loc"] == ("size",) else f"--resize {resize} for --size {size}"
        raise UsageError(f"{option}: {problem['msg']}") from None


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"`{path}` cannot be read ({reason}); give a text file of class names, one a line.") from None
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UserError(f"`{path}` names `{repeated[0]}` twice; give every class a different name.")
    return names


@contextmanager
def _synthetic_leaves(size: int) -> Iterator[list[Path]]:
    """Yield synthetic leaves for the bundle's self-check."""
    with tempfile.TemporaryDirectory(prefix="venation-leaves-") as aside:
        leaves = Path(aside) / "leaves"
        write_leaves(leaves, classes=2, images=_NUM_SAMPLES // 2, size=max(size, MIN_SIZE), seed=0)
        yield expand_paths([leaves / "images"])


def _record(config: TrialConfig, names: tuple[str, ...], checkpoint: Path, system: str) -> BundleRecord:
    origin = {"imported": {"system": system, "checkpoint": checkpoint.name, "sha256": sha256(checkpoint)}}
    return BundleRecord(
        sources=(),
        config=config,
        classes=names,
        metrics={},
        images=dict.fromkeys(SPLITS, 0),
        data_fingerprint="",
        split=SplitConfig(),
        provenance=collect_provenance("cpu").model_dump(mode="json") | origin,
    )


def _card(record: BundleRecord, checkpoint: Path, system: str) -> str:
    """Return the model card of an imported checkpoint as Markdown."""
    config = record.config
    masks = "" if config.decoder.kind == "none" else ", mask probabilities"
    does = "Classifies" if not masks else "Classifies and segments"
    return f"""# A Venation bundle: {len(record.classes)} classes

{does} images with {system.upper()} on `{config.encoder.name}` at {config.data.size} x {config.data.size} pixels.
Imported from `{checkpoint.name}`, a checkpoint of the published code.

Its training images are not known here, so it has no scores: score it with `venation evaluate` on images that it was
not trained on.

## Use

    venation predict BUNDLE photos/ -o out/
    venation bundle check BUNDLE

`model.onnx` takes images that are resized ({config.data.interpolation}) and normalised (mean {config.data.mean},
standard deviation {config.data.std}). It gives class probabilities{masks} and features.

## Classes

{", ".join(record.classes)}

## Limits

It knows only these classes and assigns one of them to every image. Licence: {record.licence}.
"""
