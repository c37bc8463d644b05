"""The self-check of a bundle finds damaged, missing, added and exchanged files."""

import hashlib
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small_bundle import SmallBundle

from venation.bundles.bundle import read_record, write_record
from venation.bundles.load_network import load_parts
from venation.bundles.predict import predict_paths
from venation.bundles.record import BOOSTER, IMAGES, ONNX, WEIGHTS
from venation.bundles.samples import EXPECTED
from venation.bundles.verify import TOLERANCE, check_bundle
from venation.errors import UserError


@contextmanager
def limit_new_memory(size: int) -> Iterator[None]:
    """Make allocations of more than ``size`` bytes in all fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def rehash_record(bundle: Path) -> None:
    """Update the hashes of the record to the files, so that hashes do not reveal the damage."""
    record = read_record(bundle)
    files = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in record.files}
    write_record(bundle, record.model_copy(update={"files": files}))


def test_a_new_bundle_passes_the_check(small_bundle: SmallBundle) -> None:
    found = check_bundle(small_bundle.path)
    assert found["samples"] == min(4, read_record(small_bundle.path).images["val"])
    assert found["files"] == len(read_record(small_bundle.path).files)
    assert found["samples_difference"] == found["samples_mask_difference"] == 0
    assert found["onnx_difference"] <= TOLERANCE and found["onnx_mask_difference"] <= TOLERANCE


def test_onnx_equals_torch_on_other_images(small_bundle: SmallBundle) -> None:
    record = read_record(small_bundle.path)
    parts = load_parts(small_bundle.path, record)
    torch.manual_seed(1)
    image_BCHW = torch.randn(3, 3, 64, 64)
    session = onnxruntime.InferenceSession(str(small_bundle.path / ONNX), providers=["CPUExecutionProvider"])
    probabilities, features, mask = session.run(["probabilities", "features", "mask"], {"image": image_BCHW.numpy()})
    with torch.inference_mode():
        output = parts.network(image_BCHW)
    assert output.mask_logits_B1HW is not None
    assert np.allclose(probabilities, output.logits_BN.softmax(1).numpy(), atol=1e-5)
    assert np.allclose(features, output.features_BC.numpy(), rtol=1e-3, atol=1e-4)
    assert mask.shape == (3, 1, 64, 64)
    assert np.allclose(mask, output.mask_logits_B1HW.sigmoid().numpy(), atol=1e-4)


@pytest.mark.parametrize("name", [WEIGHTS, ONNX, BOOSTER, EXPECTED, IMAGES, "samples/0.png", "README.md"])
def test_a_flipped_bit_is_named(copied: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} was changed"):
        check_bundle(copied)
    with pytest.raises(UserError, match=rf"{name} was changed"):
        predict_paths(copied, [copied / "samples" / "1.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_and_added_files_are_named(copied: Path) -> None:
    (copied / ONNX).rename(copied / "other.onnx")
    with pytest.raises(UserError, match=r"model\.onnx is missing; other\.onnx is not in bundle\.json"):
        check_bundle(copied)


def test_a_link_is_named(copied: Path, tmp_path: Path) -> None:
    (copied / WEIGHTS).rename(tmp_path / "elsewhere")
    (copied / WEIGHTS).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"weights\.safetensors.*is a link"):
        check_bundle(copied)


def test_a_changed_weight_is_found_despite_a_matching_hash(copied: Path) -> None:
    weights = load_file(copied / WEIGHTS)
    weights[min(name for name in weights if name.startswith("encoder.") and weights[name].ndim == 4)] += 0.5
    save_file(weights, copied / WEIGHTS)
    rehash_record(copied)
    with pytest.raises(UserError, match="disagrees with itself"):
        check_bundle(copied)


def test_a_changed_decoder_is_found_despite_a_matching_hash(copied: Path) -> None:
    weights = load_file(copied / WEIGHTS)
    for name in weights:
        if name.startswith("decoder.") and weights[name].ndim == 4:
            weights[name] *= 1.5
    save_file(weights, copied / WEIGHTS)
    rehash_record(copied)
    with pytest.raises(UserError, match="disagrees with itself: .*_mask_difference"):
        check_bundle(copied)


def test_a_changed_head_is_found_beside_a_booster(copied: Path) -> None:
    """The booster's answer does not use the head, but heat maps do."""
    weights = load_file(copied / WEIGHTS)
    weights["head.bias"] += torch.tensor([0.0, 0.5, 0.0])
    save_file(weights, copied / WEIGHTS)
    rehash_record(copied)
    with pytest.raises(UserError, match="disagrees with itself: onnx_head_difference"):
        check_bundle(copied)


@pytest.mark.parametrize("name", ["vit_giant_patch14_dinov2", "test_vit"])
def test_another_encoder_is_refused_before_it_takes_memory(copied: Path, name: str) -> None:
    record = read_record(copied)
    encoder = record.config.encoder.model_copy(update={"name": name})
    write_record(copied, record.model_copy(update={"config": record.config.model_copy(update={"encoder": encoder})}))
    with limit_new_memory(1 << 30), pytest.raises(UserError, match=r"weights\.safetensors|cannot be built"):
        check_bundle(copied)


def test_a_changed_sample_is_found_despite_a_matching_hash(copied: Path) -> None:
    expected = json.loads((copied / EXPECTED).read_text())
    expected["0.png"]["probabilities"][0] += 0.01
    (copied / EXPECTED).write_text(json.dumps(expected))
    rehash_record(copied)
    with pytest.raises(UserError, match=r"samples_difference 1\.00e-02"):
        check_bundle(copied)


def test_another_picture_in_place_of_a_sample_is_found(copied: Path) -> None:
    Image.new("RGB", (40, 40), (10, 200, 250)).save(copied / "samples" / "0.png")
    rehash_record(copied)
    with pytest.raises(UserError, match="disagrees with itself"):
        check_bundle(copied)


@pytest.mark.parametrize("name", [WEIGHTS, ONNX, BOOSTER, EXPECTED, IMAGES, "samples/0.png"])
def test_garbage_is_refused_in_one_line_despite_a_matching_hash(copied: Path, name: str) -> None:
    (copied / name).write_bytes(b"garbage")
    rehash_record(copied)
    with pytest.raises(UserError) as caught:
        check_bundle(copied)
    assert Path(name).name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [WEIGHTS, ONNX, EXPECTED, IMAGES])
def test_a_record_without_a_required_file_is_refused(copied: Path, name: str) -> None:
    (copied / name).unlink()
    record = read_record(copied)
    files = {known: digest for known, digest in record.files.items() if known != name}
    write_record(copied, record.model_copy(update={"files": files}))
    with pytest.raises(UserError, match=Path(name).name):
        check_bundle(copied)


def test_a_list_of_images_that_differs_from_the_record_is_refused(copied: Path) -> None:
    known = json.loads((copied / IMAGES).read_text())
    known["train"].pop()
    (copied / IMAGES).write_text(json.dumps(known))
    rehash_record(copied)
    with pytest.raises(UserError, match=r"images\.json does not list the images that the record counts"):
        check_bundle(copied)
