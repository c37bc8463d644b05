"""Predicted masks: out-of-fold decoders, records, copies of the data, and interrupted runs."""

import csv
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_bundle import BAD_DATA, EXPECTED_FAILURE, MISUSE, SmallBundle, refuse, rows, succeed, tree, venation

from venation.bundles import mask_folder, mask_folds, masks
from venation.bundles.bundle import open_verified, read_record, write_record
from venation.bundles.mask_folder import (
    PREDICTED_MASKS,
    MaskFile,
    MaskFolder,
    classes_to_write,
    read_predicted_masks,
)
from venation.bundles.masks import write_masks
from venation.bundles.predict import PartlyRead, predict_paths
from venation.bundles.record import IMAGES, WEIGHTS
from venation.data.fingerprint import digests, fingerprint
from venation.data.images import read_image, read_mask
from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits
from venation.data.transforms import eval_image
from venation.errors import DataError, UserError
from venation.models.network import MultitaskNetwork
from venation.trials.checkpoint import base_weights, decoder_weights, read_weights, write_weights


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the hash and the modification time of every file of a folder."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: (sha(path), path.stat().st_mtime_ns) for name, path in files.items()}


def part(bundle: Path, *parts: str) -> set[str]:
    """Return the hashes of the images in these splits of the bundle's data."""
    known = json.loads((bundle / IMAGES).read_text())
    return {digest for name in parts for digest in known[name]}


def draw(path: Path, size: tuple[int, int], seed: int, **options: Any) -> Path:
    """Draw an image of noise, which no bundle was trained on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def unmasked(tmp_path: Path) -> Path:
    """Eight new images without masks, of new classes and sizes; one has an EXIF rotation."""
    data = tmp_path / "data"
    sizes = [(40, 40), (70, 30), (31, 66), (48, 52)]
    for label in ("ash", "oak"):
        for index, size in enumerate(sizes):
            exif = Image.Exif()
            name = f"{index}.jpg" if index == 1 else f"{index}.png"
            if index == 1:
                exif[0x0112] = 6
            draw(data / "images" / label / name, size, seed=2 * index + (label == "oak"), exif=exif)
    return data


@pytest.fixture
def decided(copied: Path, unmasked: Path) -> Path:
    """Copy the bundle with a last bias that sets half of the mask; the trained bias sets none."""
    with open_verified(copied) as (folder, record):
        parts = masks.load_parts(folder, record)
    images = [eval_image(read_image(path), record.config.data) for path in (unmasked / "images" / "oak").iterdir()]
    with torch.no_grad():
        logits = parts.network(torch.stack(images)).mask_logits_B1HW
    weights = read_weights(copied / WEIGHTS)
    assert logits is not None
    weights["decoder.head.bias"] -= logits.median()
    write_weights(weights, copied / WEIGHTS)
    write_record(copied, record.model_copy(update={"files": record.files | {WEIGHTS: sha(copied / WEIGHTS)}}))
    return copied


@dataclass
class NetworkUse:
    """The images that each network was trained on and segmented; None is the bundle's network."""

    learned: dict[int, set[Path]] = field(default_factory=dict)
    targets: dict[int, set[Path]] = field(default_factory=dict)
    segmented: dict[int | None, list[Path]] = field(default_factory=dict)
    networks: list[MultitaskNetwork] = field(default_factory=list)
    starts: list[dict[str, torch.Tensor]] = field(default_factory=list)
    blanks: set[float] = field(default_factory=set)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> NetworkUse:
    """Record the loaders of every fit and the images that every network segments."""
    seen = NetworkUse()
    fit, predictor = mask_folds.fit, masks.Predictor

    def watched_fit(network: MultitaskNetwork, train: Any, val: Any, *rest: Any, **options: Any) -> Iterator[Any]:
        samples = [*train.dataset.samples, *val.dataset.samples]
        seen.learned[len(seen.networks)] = {sample.image for sample in samples}
        seen.targets[len(seen.networks)] = {sample.mask for sample in samples}
        seen.starts.append({name: weight.clone() for name, weight in decoder_weights(network).items()})
        seen.blanks |= {train.dataset.config.blank, val.dataset.config.blank}
        seen.networks.append(network)
        yield from fit(network, train, val, *rest, **options)

    class WatchedPredictor(predictor):  # type: ignore[misc, valid-type]
        def predict_images(self, paths: Any, **options: Any) -> Iterator[Any]:
            index = next((i for i, other in enumerate(seen.networks) if other is self.network), None)
            seen.segmented.setdefault(index, []).extend(paths)
            return super().predict_images(paths, **options)

    monkeypatch.setattr(mask_folds, "fit", watched_fit)
    monkeypatch.setattr(masks, "Predictor", WatchedPredictor)
    return seen


def assert_no_decoder_segments_its_training_images(watch: NetworkUse, bundle: Path, data: Path) -> None:
    """Assert it by the path, the bytes and the group of every image."""
    samples = {sample.image: sample for sample in load_manifest(data).samples}
    used = part(bundle, "train", "val")
    own = {sample.image for sample in samples.values() if sample.mask is not None and sha(sample.image) in used}
    for index, paths in watch.segmented.items():
        known = own if index is None else watch.learned[index]
        assert not known & set(paths)
        assert not {sha(path) for path in known} & {sha(path) for path in paths}
        assert not {samples[path].group for path in known} & {samples[path].group for path in paths}


# Images that are new to the bundle


def test_every_image_gets_a_mask_of_its_upright_size(small_bundle: SmallBundle, unmasked: Path) -> None:
    found = rows("data", "masks", small_bundle.path, unmasked, "--device", "cpu")
    assert len(found) == 8 and all(row["fold"] is None for row in found)
    sizes = {"0": (40, 40), "1": (30, 70), "2": (31, 66), "3": (48, 52)}
    for row in found:
        image, mask = Path(row["image"]), read(Path(row["mask"]))
        assert Path(row["mask"]) == unmasked / "masks" / image.parent.name / f"{image.stem}.png"
        assert mask.shape[1::-1] == sizes[image.stem] and mask.ndim == 2 and set(np.unique(mask)) <= {0, 255}
        assert row["share"] == pytest.approx((mask > 0).mean(), abs=1e-4)
    assert all(sample.mask is not None for sample in load_manifest(unmasked).samples)
    check = json.loads(succeed("data", "check", unmasked, "--json"))
    assert {row["code"] for row in check} <= {"empty-mask", "full-mask", "exif-turned"}


@pytest.mark.parametrize("copy", [False, True])
def test_data_of_one_class_get_the_same_masks(decided: Path, unmasked: Path, tmp_path: Path, *, copy: bool) -> None:
    both = Path(shutil.copytree(unmasked, tmp_path / "both"))
    expected = {row["image"].removeprefix(f"{both}/"): read(Path(row["mask"])) for row in write_masks(decided, both)}
    shutil.rmtree(unmasked / "images" / "oak")
    out = ("-o", tmp_path / "out") if copy else ()
    found = rows("data", "masks", decided, unmasked, *out)
    assert len(found) == 4 and len(load_manifest(tmp_path / "out" if copy else unmasked).samples) == 4
    for row in found:
        mask = expected[row["image"].removeprefix(f"{unmasked}/")]
        np.testing.assert_array_equal(read(Path(row["mask"])), mask)
    assert rows("data", "masks", decided, unmasked, *out) == []


def test_the_bundles_images_of_one_class_are_segmented_out_of_fold(
    small_bundle: SmallBundle, tmp_path: Path, watch: NetworkUse
) -> None:
    data, out = Path(shutil.copytree(small_bundle.leaves, tmp_path / "data")), tmp_path / "out"
    for name in ("cultivar_01", "cultivar_02"):
        shutil.rmtree(data / "images" / name)
        shutil.rmtree(data / "masks" / name)
    draw(data / "images" / "cultivar_00" / "more.png", (30, 30), seed=5)
    count = len(part(small_bundle.path, "train", "val") & {sha(path) for path in data.rglob("images/*/*.png")})
    found = write_masks(small_bundle.path, data, out=out, folds=3, everything=True)
    assert len(found) == 7 and sum(row["fold"] is not None for row in found) == count
    assert_no_decoder_segments_its_training_images(watch, small_bundle.path, data)


def test_masks_equal_those_of_predict(decided: Path, unmasked: Path, tmp_path: Path) -> None:
    predict_paths(decided, [unmasked / "images" / "oak"], tmp_path / "out", batch_size=1, runner="torch")
    found = {Path(row["image"]): row["share"] for row in write_masks(decided, unmasked)}
    for image in (unmasked / "images" / "oak").iterdir():
        mask = read(unmasked / "masks" / "oak" / f"{image.stem}.png")
        assert (read(tmp_path / "out" / "masks" / f"{image.stem}.png") == mask).mean() > 0.99
        assert 0 < found[image] < 1 and found[image] == pytest.approx((mask == 255).mean(), abs=1e-4)


def test_a_second_run_writes_nothing(small_bundle: SmallBundle, unmasked: Path) -> None:
    succeed("data", "masks", small_bundle.path, unmasked)
    before = contents(unmasked)
    result = venation("data", "masks", small_bundle.path, unmasked, "--json")
    assert result.exit_code == 0 and json.loads(result.stdout) == []
    assert contents(unmasked) == before


def test_an_interrupted_run_resumes(
    decided: Path, unmasked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends after the record leaves no mask that would count as a drawn one."""
    whole = Path(shutil.copytree(unmasked, tmp_path / "whole"))
    monkeypatch.setattr(masks, "BATCH_SIZE", 3)
    write_masks(decided, whole)
    write, left = masks.MaskFolder.write, 2

    def end_early(self: Any, files: Any, **options: Any) -> None:
        nonlocal left
        write(self, files[:1] if left == 1 else files, **options)
        left -= 1
        if left == 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(masks.MaskFolder, "write", end_early)
        with pytest.raises(KeyboardInterrupt):
            write_masks(decided, unmasked)
    written = {path.relative_to(unmasked).as_posix() for path in (unmasked / "masks").rglob("*.png")}
    assert len(written) == 4 and set(read_predicted_masks(unmasked)) == written
    before = contents(unmasked)
    assert len(write_masks(decided, unmasked)) == 4
    assert all(contents(unmasked)[name] == before[name] for name in written)
    assert {name: digest for name, (digest, _) in contents(unmasked).items()} == {
        name: digest for name, (digest, _) in contents(whole).items()
    }


def test_the_record_lists_predicted_masks_and_their_decoder(small_bundle: SmallBundle, unmasked: Path) -> None:
    drawn = unmasked / "masks" / "ash" / "0.png"
    drawn.parent.mkdir(parents=True)
    Image.fromarray(np.eye(40, dtype=np.uint8)).save(drawn)
    before = drawn.read_bytes()
    assert len(write_masks(small_bundle.path, unmasked)) == 7
    assert drawn.read_bytes() == before
    record = json.loads((unmasked / PREDICTED_MASKS).read_text())
    assert len(record) == 7 and "masks/ash/0.png" not in record
    for name, entry in record.items():
        digest = read_record(small_bundle.path).record_sha256
        assert entry == {"sha256": sha(unmasked / name), "bundle": digest, "fold": None}
    # A mask that a person redraws counts as drawn.
    Image.fromarray(np.eye(66, 31, dtype=np.uint8)).save(unmasked / "masks" / "oak" / "2.png")
    assert set(record) - set(read_predicted_masks(unmasked)) == {"masks/oak/2.png"}


@pytest.mark.parametrize("base", ["", "images"])
def test_splits_with_equal_names_have_separate_masks(small_bundle: SmallBundle, tmp_path: Path, base: str) -> None:
    data = tmp_path / "data"
    for index, (split, label) in enumerate((s, c) for s in ("train", "val", "test") for c in "ab"):
        draw(data / base / split / label / "leaf.jpg", (30 + index, 40), seed=index)
    assert len(write_masks(small_bundle.path, data)) == 6
    for sample in load_manifest(data).samples:
        assert sample.mask == data / "masks" / str(sample.split) / sample.label / "leaf.png"
        assert read(sample.mask).shape == read(sample.image).shape[:2]


def test_an_unreadable_image_does_not_stop_the_others(small_bundle: SmallBundle, unmasked: Path) -> None:
    (unmasked / "images" / "ash" / "bad.png").write_bytes(b"garbage")
    result = venation("data", "masks", small_bundle.path, unmasked, "--json")
    assert result.exit_code == BAD_DATA and len(json.loads(result.stdout)) == 8
    assert "1 of 9 images were not segmented" in result.stderr and "bad.png" in result.stderr.splitlines()[-1]
    assert len(list((unmasked / "masks").rglob("*.png"))) == 8


def test_an_unreadable_image_stays_without_a_mask_in_a_copy(
    small_bundle: SmallBundle, unmasked: Path, tmp_path: Path
) -> None:
    (unmasked / "images" / "ash" / "bad.png").write_bytes(b"garbage")
    with pytest.raises(PartlyRead, match=r"bad\.png"):
        write_masks(small_bundle.path, unmasked, out=tmp_path / "out")
    assert [sample.image.name for sample in load_manifest(tmp_path / "out").samples if sample.mask is None] == [
        "bad.png"
    ]


# A copy, and data listed by a CSV


@pytest.fixture
def listed(unmasked: Path) -> Path:
    """List the new images in a CSV with groups, a split, and two images of one stem."""
    draw(unmasked / "images" / "oak" / "3.jpg", (20, 24), seed=77)
    names = sorted(path.relative_to(unmasked).as_posix() for path in (unmasked / "images").rglob("*.*"))
    with (unmasked / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "group", "split"])
        for name in names:
            writer.writerow([name, name.split("/")[1], f"plant {name[-5]}", "test" if "/0." in name else ""])
    return unmasked


def test_a_csv_gets_its_masks_in_a_copy_of_the_data(small_bundle: SmallBundle, listed: Path, tmp_path: Path) -> None:
    before = contents(listed)
    out = tmp_path / "out"
    found = rows("data", "masks", small_bundle.path, listed / "manifest.csv", "-o", out)
    assert contents(listed) == before
    theirs, mine = load_manifest(listed), load_manifest(out)
    assert len(found) == 9 and len({sample.mask for sample in mine.samples}) == 9
    for sample, copy in zip(theirs.samples, mine.samples, strict=True):
        assert (mine.key(copy), copy.label, copy.group, copy.split) == (
            theirs.key(sample), sample.label, sample.group, sample.split,
        )  # fmt: skip
        assert copy.image.samefile(sample.image)
        assert copy.mask is not None
    oak = {path.name for path in (out / "masks" / "oak").iterdir()}
    assert oak == {"0.png", "1.png", "2.png", "3.jpg.png", "3.png.png"}
    succeed("data", "check", out)
    after = contents(out)
    assert rows("data", "masks", small_bundle.path, listed, "-o", out) == [] and contents(out) == after


def test_an_interrupted_copy_resumes(
    small_bundle: SmallBundle, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, link = tmp_path / "out", mask_folder.os.link

    def end_at_the_fourth(source: Path, target: Path) -> None:
        if len(list((out / "images").rglob("*.*"))) == 3:
            raise KeyboardInterrupt
        link(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(mask_folder.os, "link", end_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            write_masks(small_bundle.path, listed, out=out)
    assert len(write_masks(small_bundle.path, listed, out=out)) == 9 and len(load_manifest(out).samples) == 9


def test_without_hard_links_a_copy_is_copied(
    small_bundle: SmallBundle, listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Path, target: Path) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(mask_folder.os, "link", refused)
    write_masks(small_bundle.path, listed, out=tmp_path / "out")
    for sample, copy in zip(load_manifest(listed).samples, load_manifest(tmp_path / "out").samples, strict=True):
        assert copy.image.read_bytes() == sample.image.read_bytes() and not copy.image.samefile(sample.image)


def test_a_copy_keeps_drawn_masks_and_the_record_of_predicted_ones(
    small_bundle: SmallBundle, unmasked: Path, tmp_path: Path
) -> None:
    """The copy's record keeps the entries of masks that were predicted in place before."""
    drawn = unmasked / "masks" / "ash" / "0.png"
    drawn.parent.mkdir(parents=True)
    Image.fromarray(np.eye(40, dtype=np.uint8)).save(drawn)
    write_masks(small_bundle.path, unmasked)
    draw(unmasked / "images" / "oak" / "new.png", (20, 20), seed=5)
    out = tmp_path / "out"
    (row,) = write_masks(small_bundle.path, unmasked, out=out)
    assert Path(row["mask"]) == out / "masks" / "oak" / "new.png"
    assert set(read_predicted_masks(out)) == {*read_predicted_masks(unmasked), "masks/oak/new.png"}
    assert sha(out / "masks" / "ash" / "0.png") == sha(drawn) and "masks/ash/0.png" not in read_predicted_masks(out)


def test_a_mask_guided_study_accepts_the_predicted_masks(
    small_bundle: SmallBundle, tmp_path: Path, postgres_url: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(small_bundle.leaves / "images", data / "images")
    create = ("study", "create", "--kind", "classifier", "--trials", 1, "--storage", postgres_url)
    stores = ("--artifacts", tmp_path / "artifacts", "--set", "encoder.weights=none")
    guided = ("--set", "train.mask_weight=0.1", "--set", "gate=meanmax")
    refuse(EXPECTED_FAILURE, *create, "bare", "--data", data, *guided, *stores, says=("no masks",))
    out = tmp_path / "out"
    succeed("data", "masks", small_bundle.path, data)
    succeed("data", "masks", small_bundle.path, data, "-o", out, "--all")
    succeed(*create, "here", "--data", data, "--preset", "mganet", *stores)
    succeed(*create, "copy", "--data", out, *guided, *stores)


# Images that the bundle was made with


@pytest.fixture
def plants(small_bundle: SmallBundle, tmp_path: Path) -> Path:
    """List the bundle's leaves in a CSV: two per plant, one new leaf, and one leaf twice."""
    data = Path(shutil.copytree(small_bundle.leaves, tmp_path / "plants"))
    used = part(small_bundle.path, "train", "val")
    images = sorted((data / "images").rglob("*.png"))
    listing = [(path, data / "masks" / path.relative_to(data / "images"), f"{i // 2}") for i, path in enumerate(images)]
    known = next(row for row in listing if sha(row[0]) in used)
    twin = Path(shutil.copy(known[0], known[0].with_name("twin.png")))
    new = draw(data / "images" / "cultivar_00" / "new.png", (33, 47), seed=9)
    listing += [(twin, None, "another"), (new, None, known[2])]
    with (data / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "mask", "group"])
        for image, mask, group in listing:
            key = "" if mask is None else mask.relative_to(data).as_posix()
            writer.writerow([image.relative_to(data).as_posix(), image.parent.name, key, group])
    return data


def test_no_decoder_trains_on_a_group_that_it_segments(
    small_bundle: SmallBundle, plants: Path, tmp_path: Path, watch: NetworkUse
) -> None:
    out = tmp_path / "out"
    found = write_masks(small_bundle.path, plants, out=out, folds=3, everything=True)
    manifest = load_manifest(plants)
    images = [sample.image for sample in manifest.samples]
    # Each image once, and those of known groups by a fold's decoder.
    assert sorted(path for paths in watch.segmented.values() for path in paths) == images
    assert set(watch.segmented) <= {None, 0, 1, 2} and len(watch.networks) == 3
    assert_no_decoder_segments_its_training_images(watch, small_bundle.path, plants)
    used = part(small_bundle.path, "train", "val")
    groups = {sample.group for sample in manifest.samples if sample.mask and sha(sample.image) in used} | {"another"}
    held = {str(sample.image) for sample in manifest.samples if sample.group in groups}
    assert {row["image"] for row in found if row["fold"] is not None} == held
    assert {row["fold"] for row in found} - {None} == {1, 2, 3}
    # Together the folds learn from every drawn mask that the bundle's decoder learned from, and
    # from no other.
    learned = {sample.image for sample in manifest.samples if sample.mask and sha(sample.image) in used}
    assert set.union(*watch.learned.values()) == learned
    record = read_predicted_masks(out)
    assert {row["mask"]: row["fold"] for row in found} == {str(out / k): entry.fold for k, entry in record.items()}
    succeed("data", "check", out)
    for sample in load_manifest(out).samples:
        assert sample.mask is not None and read(sample.mask).shape == read(sample.image).shape[:2]


def test_folds_train_the_decoder_only_and_a_second_run_trains_nothing(
    small_bundle: SmallBundle, copied: Path, tmp_path: Path, watch: NetworkUse
) -> None:
    record = read_record(copied)
    blanked = record.config.model_copy(update={"data": record.config.data.model_copy(update={"blank": 1.0})})
    write_record(copied, record.model_copy(update={"config": blanked}))
    out = tmp_path / "out"
    write_masks(copied, small_bundle.leaves, out=out, folds=2, everything=True)
    with open_verified(copied) as (folder, record):
        own = masks.load_parts(folder, record).network
    for network, start in zip(watch.networks, watch.starts, strict=True):
        assert all(torch.equal(base_weights(network)[k], v) for k, v in base_weights(own).items())
        # New from the start: the bundle's decoder has learned from every image that it would
        # segment here.
        drawn = [name for name, weight in start.items() if weight.ndim > 1]
        assert drawn and not any(torch.equal(start[name], decoder_weights(own)[name]) for name in drawn)
        assert not any(torch.equal(start[name], decoder_weights(network)[name]) for name in drawn)
    assert watch.blanks == {0.0}
    before = contents(out)
    assert write_masks(copied, small_bundle.leaves, out=out, folds=2, everything=True) == []
    assert len(watch.networks) == 2 and contents(out) == before
    # A fold with a missing mask is trained again, with the same result.
    lost = next(name for name, entry in read_predicted_masks(out).items() if entry.fold == 2)
    digest = sha(out / lost)
    (out / lost).unlink()
    (row,) = write_masks(copied, small_bundle.leaves, out=out, folds=2, everything=True)
    assert row["fold"] == 2 and len(watch.networks) == 3 and sha(out / lost) == digest


def test_no_decoder_trains_on_predicted_masks(small_bundle: SmallBundle, tmp_path: Path, watch: NetworkUse) -> None:
    data = Path(shutil.copytree(small_bundle.leaves, tmp_path / "data"))
    bare = [path for path in sorted((data / "masks").rglob("*.png")) if path.stem in ("leaf_000", "leaf_003")]
    for path in bare:
        path.unlink()
    write_masks(small_bundle.path, data)
    assert all(path.exists() for path in bare) and not watch.networks
    write_masks(small_bundle.path, data, out=tmp_path / "out", folds=2, everything=True)
    assert not {path for index in watch.targets for path in watch.targets[index]} & set(bare)


def test_images_without_a_mask_at_training_need_no_folds(
    small_bundle: SmallBundle, copied: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, watch: NetworkUse
) -> None:
    data = Path(shutil.copytree(small_bundle.leaves, tmp_path / "data"))
    bare = list((data / "masks" / "cultivar_01").glob("*.png"))
    for path in bare:
        path.unlink()
    # Change the record as if the bundle had been trained on these data.
    record = read_record(copied)
    manifest = assign_splits(load_manifest(data), seed=record.split.seed, val=record.split.val, test=record.split.test)
    write_record(copied, record.model_copy(update={"data_fingerprint": fingerprint(digests(manifest))}))
    other = Path(shutil.copytree(data, tmp_path / "other"))
    with caplog.at_level(logging.WARNING):
        write_masks(copied, data)
        # A resumed run recognises the masks that it wrote as predicted ones.
        bare[0].unlink()
        assert len(write_masks(copied, data)) == 1
    assert "not the same as then" not in caplog.text
    known = sum(sha(path) in part(copied, "train", "val") for path in (data / "images" / "cultivar_01").glob("*"))
    with caplog.at_level(logging.WARNING):
        write_masks(small_bundle.path, other)
    assert f"made with {known} of the images without a mask" in caplog.text
    # These data cannot be split, so they are not the training data.
    single = Path(shutil.copytree(small_bundle.leaves, tmp_path / "single"))
    for path in bare[1:]:
        for kind in ("images", "masks"):
            (single / kind / "cultivar_01" / path.name).unlink()
    (single / "masks" / "cultivar_01" / bare[0].name).unlink()
    assert len(write_masks(small_bundle.path, single)) == 1
    assert set(watch.segmented) == {None} and not watch.networks


def test_without_folds_no_decoder_segments_its_training_images(
    small_bundle: SmallBundle, plants: Path, tmp_path: Path
) -> None:
    before = contents(plants)
    arguments = ("data", "masks", small_bundle.path, plants, "-o", tmp_path / "out")
    # The twin of a known leaf, and the new leaf of a known plant.
    refuse(MISUSE, *arguments, says=("2 images without a mask in groups that the decoder was trained on", "--folds"))
    refuse(MISUSE, *arguments, "--all", says=("--all predicts", "--folds"))
    assert not (tmp_path / "out").exists() and contents(plants) == before
    found = rows(*arguments, "--folds", 3)
    assert sorted(Path(row["image"]).name for row in found) == ["new.png", "twin.png"]
    # Both are related to the same known leaf, so they are in one fold.
    assert len({row["fold"] for row in found}) == 1


# Refusals


def test_a_class_with_a_blank_at_its_end_is_not_merged_in_a_copy(
    small_bundle: SmallBundle, unmasked: Path, tmp_path: Path
) -> None:
    shutil.copytree(unmasked / "images" / "ash", unmasked / "images" / "oak ")
    with pytest.raises(DataError, match=r"'oak ' is not UTF-8 or has spaces around it, which manifest.csv cannot"):
        write_masks(small_bundle.path, unmasked, out=tmp_path / "out", device=torch.device("cpu"))


def test_a_bundle_without_a_trained_decoder_is_refused(copied: Path, unmasked: Path) -> None:
    record = read_record(copied)
    kept = tuple(source for source in record.sources if source.kind != "decoder")
    write_record(copied, record.model_copy(update={"sources": kept}))
    refuse(EXPECTED_FAILURE, "data", "masks", copied, unmasked, says=("no trained decoder", "decoder study"))
    assert not (unmasked / "masks").exists()


def test_invalid_options_and_data_are_refused_in_one_line(
    small_bundle: SmallBundle, listed: Path, tmp_path: Path
) -> None:
    command = ("data", "masks", small_bundle.path)
    (tmp_path / "empty").mkdir()
    refuse(BAD_DATA, *command, tmp_path / "empty", says=("empty folder",))
    refuse(BAD_DATA, *command, tmp_path / "absent", says=("does not exist",))
    refuse(MISUSE, *command, listed, says=("listed by a CSV", "-o"))
    refuse(MISUSE, *command, small_bundle.leaves, "--all", "--folds", 2, says=("--all", "-o"))
    refuse(MISUSE, *command, small_bundle.leaves, "--folds", 1, says=("--folds",))
    refuse(EXPECTED_FAILURE, *command, listed, "-o", listed / "out", says=("is inside the data",))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    refuse(EXPECTED_FAILURE, *command, listed, "-o", tmp_path / "mine", says=("not written by this command",))
    assert tree(tmp_path / "mine") == {"notes.txt"} and not (listed / "masks").exists()


@pytest.mark.parametrize("table", ["value,name\n7,vein\n", "value,name,colour\n0,paper,#ffffff\n7,vein,#00ff00\n"])
def test_masks_of_one_structure_have_the_value_that_the_data_give_it(unmasked: Path, table: str) -> None:
    (unmasked / "mask_classes.csv").write_text(table)
    manifest = load_manifest(unmasked)
    sample = manifest.samples[0]
    masks = MaskFolder(manifest, [sample], out=None, classes=classes_to_write((), manifest))
    drawn = np.zeros((40, 40), np.uint8)
    drawn[3:9, 20:] = 255
    masks.write([MaskFile(sample, drawn, None)], bundle="")
    again = load_manifest(unmasked).samples[0]
    assert again.mask is not None
    np.testing.assert_array_equal(read_mask(again.mask, (40, 40), again.mask_classes), drawn > 0)


def test_one_structure_is_not_drawn_into_data_of_several(small_bundle: SmallBundle, unmasked: Path) -> None:
    (unmasked / "mask_classes.csv").write_text("value,name\n1,vein\n2,hole\n")
    with pytest.raises(DataError, match=r"mask_classes.csv tells vein, hole apart, but the decoder draws one struct"):
        write_masks(small_bundle.path, unmasked)


def test_two_images_that_would_share_a_mask_are_refused(small_bundle: SmallBundle, unmasked: Path) -> None:
    draw(unmasked / "images" / "oak" / "3.jpg", (20, 24), seed=77)
    with pytest.raises(DataError, match=r"2 images would have the mask masks/oak/3\.png"):
        write_masks(small_bundle.path, unmasked)
    assert not (unmasked / "masks").exists()


def test_too_few_groups_for_the_folds_are_refused(small_bundle: SmallBundle, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few for 50 folds"):
        write_masks(small_bundle.path, small_bundle.leaves, out=tmp_path / "out", folds=50, everything=True)
    assert not (tmp_path / "out").exists()


def test_a_damaged_record_of_predicted_masks_is_refused(small_bundle: SmallBundle, unmasked: Path) -> None:
    (unmasked / PREDICTED_MASKS).write_text("{")
    with pytest.raises(UserError, match="look like drawn ones"):
        write_masks(small_bundle.path, unmasked)


def test_a_copy_of_other_data_is_not_mixed_with_these(small_bundle: SmallBundle, listed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_masks(small_bundle.path, listed, out=out)
    other = Path(shutil.copytree(listed, tmp_path / "other"))
    draw(other / "images" / "oak" / "0.png", (25, 25), seed=123)
    with pytest.raises(DataError, match="choose a new folder"):
        write_masks(small_bundle.path, other, out=out)


def test_folds_keep_groups_whole_and_spread_every_class_evenly(small_bundle: SmallBundle) -> None:
    samples = load_manifest(small_bundle.leaves).samples
    fold_of = mask_folds.assign_folds(samples, 3, seed=0)
    assert sorted(fold_of) == sorted(sample.group for sample in samples)
    for label in {sample.label for sample in samples}:
        assert sorted(fold_of[sample.group] for sample in samples if sample.label == label) == [1, 1, 2, 2, 3, 3]
    assert mask_folds.assign_folds(samples[::-1], 3, seed=0) == fold_of != mask_folds.assign_folds(samples, 3, seed=1)
