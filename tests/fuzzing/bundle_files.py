"""Files of bundles and of trials, also forged ones whose hashes are right."""

import functools
import hashlib
import io
import json
import re
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
import xgboost as xgb
from hypothesis import strategies as st

from venation.bundles.booster_graph import write_booster_graph
from venation.bundles.bundle import _digest, load_record, open_verified, write_bundle
from venation.bundles.load_network import load_parts
from venation.bundles.onnx_model import run_onnx
from venation.bundles.onnx_process import run_apart
from venation.bundles.record import BOOSTER, IMAGES, ONNX, WEIGHTS, BundleRecord, Source
from venation.bundles.scoring import read_image_hashes
from venation.data.data_config import SplitConfig
from venation.models.build import build_network
from venation.models.encoder_weights import read_tensors
from venation.spaces.fields import set_fields
from venation.trials.booster import Booster
from venation.trials.booster_format import UNSEALED, seal
from venation.trials.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_weights,
    read_weights,
    save_checkpoint,
    write_weights,
)
from venation.trials.trial_config import TrialConfig

from .attempt import Kind
from .mutations import Draw, changed_documents, changed_json, mutated
from .pictures import images

CLASSES = ("ash", "elm", "oak")
_SEAL = re.compile(rb"venation_sha256SL\0{7}\x40([0-9a-f]{64})")
_SETTINGS = {"encoder.name": "test_efficientnet", "encoder.weights": "none", "data.size": 32, "gate": "none"}
_DECODER = {"decoder.kind": "unet", "decoder.channels": 8, "data.fit": "squash"}


@functools.cache
def _booster(kind: str, features: int = 4) -> bytes:
    x_NC = np.random.default_rng(0).normal(size=(30, features)).astype(np.float32)
    settings = {"booster": kind, "objective": "multi:softprob", "num_class": 3, "max_depth": 2, "nthread": 1}
    settings |= {"verbosity": 0} if kind != "gblinear" else {"verbosity": 0, "updater": "shotgun"}
    model = xgb.train(settings, xgb.DMatrix(x_NC, np.arange(30) % 3), 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / BOOSTER
        Booster.scaled(model, np.zeros(features, np.float32), np.ones(features, np.float32)).save(path)
        return path.read_bytes()


def resealed(content: bytes) -> bytes:
    """Return a booster's file with the sha256 of what it now is."""
    found = _SEAL.search(content)
    return seal(content[: found.start(1)] + UNSEALED.encode() + content[found.end(1) :]) if found else content


def _read_booster(content: bytes, folder: Path) -> None:
    (folder / BOOSTER).write_bytes(content)
    booster = Booster.load(folder / BOOSTER)
    assert np.isfinite(booster.predict(np.ones((2, booster.num_features), np.float32))).all()


@functools.cache
def _graph() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / BOOSTER).write_bytes(_booster("gbtree"))
        write_booster_graph(Booster.load(Path(folder) / BOOSTER), Path(folder) / ONNX)
        return (Path(folder) / ONNX).read_bytes()


def _read_graph(content: bytes, folder: Path) -> None:
    (folder / ONNX).write_bytes(content)
    run_onnx(folder / ONNX, np.ones((2, 4), np.float32), needed=("probabilities",), run=run_apart)


@functools.cache
def _weights() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_weights(torch.nn.Linear(3, 2).state_dict(), Path(folder) / WEIGHTS)
        return (Path(folder) / WEIGHTS).read_bytes()


def _read_weights(content: bytes, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(content)
    read_tensors(folder / WEIGHTS)
    load_weights(torch.nn.Linear(3, 2), read_weights(folder / WEIGHTS), source=WEIGHTS)


def _headers(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    """Return safetensors files with another header of the right length, or with changed bytes."""
    ends = [8 + struct.unpack("<Q", seed[:8])[0] for seed in seeds]
    documents = [json.loads(seed[8:end]) for seed, end in zip(seeds, ends, strict=True)]
    bodies = [seed[end:] for seed, end in zip(seeds, ends, strict=True)]

    def joined(pair: tuple[object, bytes]) -> bytes:
        header = json.dumps(pair[0]).encode()
        return struct.pack("<Q", len(header)) + header + pair[1]

    return st.tuples(changed_documents(documents), st.sampled_from(bodies)).map(joined) | mutated(seeds)


@functools.cache
def _checkpoint() -> bytes:
    weights = {"a.weight": torch.ones(2, 3), "count": torch.tensor(7)}
    made = Checkpoint(weights, {"a.weight": torch.zeros(2, 3)}, {"0.step": torch.tensor(3.0)}, "me", {"x": [0.1, 1]})
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder) / "c.safetensors", made)
        return (Path(folder) / "c.safetensors").read_bytes()


def _read_checkpoint(content: bytes, folder: Path) -> None:
    (folder / "c.safetensors").write_bytes(content)
    load_checkpoint(folder / "c.safetensors", identity="me")


def _published() -> list[bytes]:
    found = []
    for zipped in (True, False):
        for value in ({"state_dict": {"module.a": torch.ones(2, 3), "b": torch.arange(4)}}, {"a": torch.zeros(3)}):
            file = io.BytesIO()
            torch.save(value, file, _use_new_zipfile_serialization=zipped)
            found.append(file.getvalue())
    return found


def _read_published(content: bytes, folder: Path) -> None:
    (folder / "weights.pth").write_bytes(content)
    read_tensors(folder / "weights.pth")


@functools.cache
def _folder_files(booster: bool) -> dict[str, bytes]:
    """Return the files of a small bundle by name; its graph is not that of its network."""
    torch.manual_seed(0)
    config = set_fields(TrialConfig(), _SETTINGS | ({} if booster else _DECODER))
    network = build_network(config.network(len(CLASSES))).eval()
    features = network(torch.zeros(1, 3, *config.data.size_HW)).features_BC.shape[1]
    source = Source(study="s", kind="booster", trial=0, objective="accuracy", value=0.5, seed=0)
    record = BundleRecord(
        sources=(source,) if booster else (),
        config=config,
        classes=CLASSES,
        metrics={},
        images={"train": 0, "val": 0, "test": 0},
        data_fingerprint="",
        split=SplitConfig(),
        provenance={},
    )

    def fill(folder: Path) -> None:
        write_weights(network.state_dict(), folder / WEIGHTS)
        (folder / ONNX).write_bytes(_graph())
        (folder / IMAGES).write_text('{"train": [], "val": [], "test": []}')
        if booster:
            (folder / BOOSTER).write_bytes(_booster("gbtree", features))

    with tempfile.TemporaryDirectory() as aside:
        out = write_bundle(Path(aside) / "x.bundle", record, fill, lambda *_: None)
        return {path.name: path.read_bytes() for path in out.iterdir()}


def _zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def _records() -> list[bytes]:
    return [_folder_files(booster)["bundle.json"] for booster in (True, False)]


def _with_digest(content: bytes) -> bytes:
    """Return a record with the sha256 of what it now is, if it is an object."""
    try:
        fields = json.loads(content)
        fields.pop("record_sha256", None)
        return json.dumps(fields | {"record_sha256": _digest(fields)}).encode()
    except (AttributeError, RecursionError, TypeError, ValueError):
        return content


def _read_record(content: bytes, folder: Path) -> None:
    (folder / "bundle.json").write_bytes(content)
    load_record(folder)


def _archives() -> list[bytes]:
    # Small ones: most changes then hit the archive's own structures.
    files = dict(_folder_files(True))
    record = json.loads(files["bundle.json"])
    record["files"] = {IMAGES: record["files"][IMAGES]}
    files = {"bundle.json": _with_digest(json.dumps(record).encode()), IMAGES: files[IMAGES]}
    return [_zipped(files), _zipped(files, zipfile.ZIP_DEFLATED), _zipped({f"a/{name}": files[name] for name in files})]


def _read_archive(content: bytes, folder: Path) -> None:
    path = folder / "x.zip"
    path.write_bytes(content)
    with open_verified(path) as (_, record):
        assert record.classes == CLASSES


@st.composite
def _forged(draw: Draw, seeds: list[bytes]) -> bytes:
    """Return a bundle in which one file is another, and all hashes are right."""
    files = dict(_folder_files(draw(st.booleans())))
    name = draw(st.sampled_from(sorted({WEIGHTS, IMAGES, BOOSTER, "bundle.json"} & files.keys())))
    one = [files[name]]
    changes = {WEIGHTS: _headers, IMAGES: changed_json, "bundle.json": changed_json}.get(name, mutated)
    files[name] = draw(changes(one))
    if name == BOOSTER:
        files[name] = resealed(files[name])
    if name != "bundle.json":
        record = json.loads(files["bundle.json"])
        record["files"][name] = hashlib.sha256(files[name]).hexdigest()
        files["bundle.json"] = json.dumps(record).encode()
    return _zipped(files | {"bundle.json": _with_digest(files["bundle.json"])})


def _read_bundle(content: bytes, folder: Path) -> None:
    """Do what ``predict`` and ``bundle check`` do, but for the graph."""
    path, photo = folder / "x.zip", folder / "leaf.png"
    path.write_bytes(content)
    photo.write_bytes(images()[0])
    with open_verified(path) as (opened, record):
        read_image_hashes(opened, record)
        parts = load_parts(opened, record)
    record.score_rows()
    (answer,) = parts.predictor(device=None, flips=False).predict([photo])
    assert answer.label in record.classes and (answer.mask is None or answer.mask.shape == (16, 24))


def _boosters() -> list[bytes]:
    return [_booster(kind) for kind in ("gbtree", "dart", "gblinear")]


KINDS = (
    Kind("weights (safetensors)", lambda: [_weights()], _headers, _read_weights, share=6),
    Kind("checkpoint of a fit", lambda: [_checkpoint()], _headers, _read_checkpoint, share=5),
    Kind("published checkpoint (.pth)", _published, mutated, _read_published, share=4),
    Kind("booster.ubj", _boosters, lambda seeds: mutated(seeds).map(resealed) | mutated(seeds), _read_booster, share=6),
    Kind("bundle.json", _records, lambda seeds: changed_json(seeds).map(_with_digest), _read_record, share=5),
    Kind("bundle (.zip)", _archives, mutated, _read_archive, share=4),
    Kind("forged bundle", lambda: [_zipped(_folder_files(b)) for b in (True, False)], _forged, _read_bundle, share=3),
    Kind("model.onnx", lambda: [_graph()], mutated, _read_graph, share=0.25, few=2, runs=True),
)
