"""Checkpoints round-trip, damaged or foreign files are named, a full disk loses nothing."""

from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

from venation.errors import UserError
from venation.trials import checkpoint as module
from venation.trials.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_optimizer,
    load_weights,
    optimizer_tensors,
    read_record,
    read_weights,
    save_checkpoint,
    write_weights,
)
from venation.trials.errors import CheckpointMismatch


def make_checkpoint(value: float = 1.0) -> Checkpoint:
    weights = {"a.weight": torch.full((2, 3), value), "count": torch.tensor(7)}
    return Checkpoint(weights, {"a.weight": torch.zeros(2, 3)}, {"0.step": torch.tensor(3.0)}, "me", {"x": [0.1, 1]})


def test_a_saved_checkpoint_is_loaded_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "c.safetensors"
    saved = make_checkpoint()
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path, identity="me")
    for part in ("network", "best", "optimizer"):
        left, right = getattr(saved, part), getattr(loaded, part)
        assert left.keys() == right.keys()
        assert all(torch.equal(left[name], right[name]) and left[name].dtype == right[name].dtype for name in left)
    assert loaded.record == read_record(path) == {"x": [0.1, 1]}
    assert [p.name for p in path.parent.iterdir()] == ["c.safetensors"]


def test_a_failed_write_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, make_checkpoint(1.0))

    def full(tensors: object, target: Path, metadata: object) -> None:
        Path(target).write_bytes(b"half")
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(UserError, match="cannot be written .*No space left"):
        save_checkpoint(path, make_checkpoint(2.0))
    assert float(load_checkpoint(path, identity="me").network["a.weight"][0, 0]) == 1.0
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, make_checkpoint())
    with pytest.raises(UserError, match="is of another config"):
        load_checkpoint(path, identity="you")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(path, identity="me")
    module.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="not a checkpoint of this version"):
        load_checkpoint(path, identity="me")


def rewritten(path: Path, **changes: str | None) -> None:
    """Write the checkpoint again with other metadata and the same tensors."""
    with module.safe_open(path, framework="pt") as file:
        metadata = {name: value for name, value in {**file.metadata(), **changes}.items() if value is not None}
    module.save_file(module.load_file(path), path, metadata=metadata)


@pytest.mark.parametrize("record", [None, "", "{", "[]", '"text"', "[" * 5000, "null"])
@pytest.mark.parametrize("sha256", [None, "0" * 64])
def test_damaged_metadata_is_a_damaged_checkpoint(tmp_path: Path, record: str | None, sha256: str | None) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, make_checkpoint())
    rewritten(path, record=record, sha256=sha256)
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        load_checkpoint(path, identity="me")


def test_every_flipped_byte_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, make_checkpoint())
    content = path.read_bytes()
    # A blank of the header's padding may become another blank.
    for at in (at for at, byte in enumerate(content) if byte != ord(" ")):
        changed = bytearray(content)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointMismatch):
            load_checkpoint(path, identity="me")


def test_a_checkpoint_of_version_0_1_has_no_hash(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, make_checkpoint())
    rewritten(path, sha256=None)
    assert load_checkpoint(path, identity="me").record == {"x": [0.1, 1]}


def test_weights_must_fit_exactly() -> None:
    layer = nn.Linear(3, 2)
    with pytest.raises(UserError, match=r"^x: `weight` has shape \(5, 3\) in the file and \(2, 3\) in the network"):
        load_weights(layer, {"weight": torch.zeros(5, 3), "bias": torch.zeros(2)}, source="x")
    with pytest.raises(UserError, match="^x lacks `bias`"):
        load_weights(layer, {"weight": torch.zeros(2, 3)}, source="x")
    with pytest.raises(UserError, match="^x has `extra`"):
        load_weights(layer, {**layer.state_dict(), "extra": torch.zeros(2)}, source="x")
    with pytest.raises(UserError, match=r"^x: `bias` has type torch.float64 in the file and torch.float32"):
        load_weights(layer, {**layer.state_dict(), "bias": torch.zeros(2, dtype=torch.float64)}, source="x")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, bad: float) -> None:
    write_weights({"a": torch.zeros(3), "b": torch.tensor([0.0, bad])}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"w\.safetensors: `b` has numbers that are not finite"):
        read_weights(tmp_path / "w.safetensors")


def test_an_optimizer_of_other_shapes_is_refused() -> None:
    def step(layer: nn.Linear) -> torch.optim.Optimizer:
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
        layer(torch.ones(1, layer.in_features)).sum().backward()
        optimizer.step()
        return optimizer

    tensors = optimizer_tensors(step(nn.Linear(3, 2)))
    assert set(tensors) == {"0.momentum_buffer", "1.momentum_buffer"}
    with pytest.raises(UserError, match=r"`optimizer.0.momentum_buffer` has shape \(2, 3\) in the file and \(2, 4\)"):
        load_optimizer(step(nn.Linear(4, 2)), tensors, source="x")
    with pytest.raises(UserError, match="no such parameter"):
        load_optimizer(step(nn.Linear(3, 2, bias=False)), tensors, source="x")
