"""A checkpoint that the authors of PIM or HERBS published, or that their code wrote, as a bundle."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from pydantic import ValidationError

from ..data.data_config import DataConfig, SplitConfig
from ..data.manifest import SPLITS
from ..data.synthetic import MIN_SIZE, write_leaves
from ..errors import UsageError, UserError
from ..models.build import build_network
from ..models.encoder_weights import read_tensors
from ..models.feature_taps import is_plain_transformer
from ..models.network_config import EncoderConfig
from ..trials.checkpoint import write_weights
from ..trials.predict import expand_paths
from ..trials.provenance import collect_provenance
from ..trials.trial_config import PluginLossConfig, TrainConfig, TrialConfig
from .bundle import CARD, IMAGES, ONNX, WEIGHTS, BundleRecord, sha256, write_bundle
from .checkpoint_formats import System, load_published, published_plugin
from .onnx_model import write_onnx
from .predict import LoadedBundle, load_parts
from .verify import compare, write_samples

ENCODER = "swin_large_patch4_window12_384"
SIZE = 384

# Both squash an image to 510 pixels before they crop 384 out of it (PIM section 9).
_ZOOM = 510 / 384
_NUM_SAMPLES = 4

# What their heads learnt from (PIM section 7, HERBS section 4): for the record, and for who trains on.
_LOSSES: dict[System, PluginLossConfig] = {
    "pim": PluginLossConfig(),
    "herbs": PluginLossConfig(stage=0.3, refine=1.375),
}


def import_published(
    checkpoint: Path,
    *,
    system: System,
    classes: Path,
    out: Path,
    encoder: str = ENCODER,
    size: int = SIZE,
    keep: tuple[float, ...] | None = None,
    samples: Path | None = None,
) -> Path:
    """Write a bundle from ``checkpoint`` (``{model, optimizer, epoch}``, read without unpickling code); its path.

    ``classes`` lists the names, one a line, in the order of the labels. ``keep`` is needed only where the selected
    positions are none of a published config. ``samples`` holds images to verify the bundle by; without them drawn
    leaves serve. The bundle has no scores: nothing is known of the images it was trained on. Raises UserError or
    UsageError in one line for whatever does not fit.
    """
    if out.exists():
        raise UserError(f"`{out}` exists; remove it or choose another path with -o.")
    if is_plain_transformer(encoder):
        # They read the class token, too, and other blocks: the weights would fit and mean something else.
        raise UsageError(
            f"checkpoints of {system} with the plain transformer {encoder} cannot be imported: give a Swin"
        )
    names, given = _read_names(classes), read_tensors(checkpoint)
    pictures = None if samples is None else expand_paths([samples])
    source = f"`{checkpoint}`"
    plugin, count = published_plugin(given, system, keep=keep, source=source)
    if count != len(names):
        raise UserError(f"{source} knows {count} classes, but `{classes}` names {len(names)}: give one name a line")
    config = TrialConfig(
        encoder=EncoderConfig(name=encoder, taps="merged"),
        gate="none",
        plugin=plugin,
        data=_data(size),
        train=TrainConfig(plugin=_LOSSES[system]),
    )
    network = build_network(config.network(count))
    load_published(network, given, system, encoder=encoder, source=source)
    record = _record(config, names, checkpoint, system)
    parts = LoadedBundle(record, network.eval(), None)

    def fill(folder: Path) -> None:
        write_weights(network.state_dict(), folder / WEIGHTS)
        write_onnx(network, config, folder / ONNX)
        with nullcontext(pictures) if pictures else _drawn(size) as images:
            write_samples(parts, images[:_NUM_SAMPLES], folder)
        (folder / IMAGES).write_text(json.dumps({part: [] for part in SPLITS}) + "\n")
        (folder / CARD).write_text(_card(record, checkpoint, system))

    return write_bundle(out, record, fill, lambda folder, full: compare(folder, load_parts(folder, full)))


def _data(size: int) -> DataConfig:
    try:
        return DataConfig(size=size, zoom=_ZOOM)
    except ValidationError as error:
        raise UsageError(f"--size {size}: {error.errors(include_input=False)[0]['msg']}") from None


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise UserError(f"`{path}` cannot be read ({reason}); give a text file of class names, one a line.") from None
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"`{path}` names `{twice[0]}` twice; give every class a name of its own.")
    return names


@contextmanager
def _drawn(size: int) -> Iterator[list[Path]]:
    """Drawn leaves to verify a bundle by."""
    with tempfile.TemporaryDirectory(prefix="venation-leaves-") as aside:
        leaves = Path(aside) / "leaves"
        write_leaves(leaves, classes=2, images=_NUM_SAMPLES // 2, size=max(size, MIN_SIZE), seed=0)
        yield expand_paths([leaves / "images"])


def _record(config: TrialConfig, names: tuple[str, ...], checkpoint: Path, system: System) -> BundleRecord:
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


def _card(record: BundleRecord, checkpoint: Path, system: System) -> str:
    """Markdown: where the bundle comes from and what is not known of it."""
    config = record.config
    return f"""# A Venation bundle: {len(record.classes)} classes

Classifies images with {system.upper()} on `{config.encoder.name}` at {config.data.size} x {config.data.size} pixels.
Imported from `{checkpoint.name}`, a checkpoint of the published code.

Its training images are not known here, so it has no scores: measure it with `venation evaluate` on images that it was
not trained on.

## Use

    venation predict BUNDLE photos/ -o out/
    venation bundle check BUNDLE

`model.onnx` takes normalised images (mean {config.data.mean}, standard deviation {config.data.std}) and gives class
probabilities and features.

## Classes

{", ".join(record.classes)}

## Limits

It knows no class but these, and says one of them of any picture. Licence: {record.licence}.
"""
