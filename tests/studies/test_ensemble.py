import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from optuna.trial import TrialState
from PIL import Image
from study_helpers import StudyHarness

from venation.bundles.bundle import read_record
from venation.bundles.evaluate import evaluate_bundle
from venation.bundles.predict import predict_paths
from venation.bundles.record import CARD, BundleRecord, Member
from venation.bundles.verify import TOLERANCE, check_bundle
from venation.data.images import read_image
from venation.data.transforms import eval_image
from venation.errors import UsageError, UserError
from venation.search.handle import StudyHandle
from venation.storage.attributes import CONFIG
from venation.studies.context import StudyContext
from venation.studies.ensemble import Pick, pick_network
from venation.studies.export import export_studies
from venation.studies.registry import best_trial

CPU = torch.device("cpu")
SHORT = {"decoder.kind": "unet", "decoder.channels": 8, "train.epochs": 1, "train.batch_size": 8}


def export(harness: StudyHarness, out: Path, *names: str, top: int) -> BundleRecord:
    export_studies(harness.storage, harness.artifacts, names, out=out, device="cpu", top=top)
    return read_record(out)


def networks(context: StudyContext, handle: StudyHandle, members: Sequence[Member]) -> list[torch.nn.Module]:
    trials = {trial.number: trial for trial in handle.study.get_trials()}
    return [pick_network(Pick(handle, trials[member.source.trial]), context).eval() for member in members]


def inputs(record: BundleRecord, paths: list[Path]) -> torch.Tensor:
    return torch.stack([eval_image(read_image(path), record.config.data) for path in paths])


def select_all(count: int, score: Callable[[tuple[int, ...]], float], *, limit: int) -> Any:
    """Select all candidates: which of them improve the score varies between short trainings."""
    chosen = tuple(range(min(count, limit)))
    return chosen, (score((0,)), score(chosen))


def test_classifiers_and_decoders_answer_together(
    harness: StudyHarness, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    soy = harness.create(trials=3, objective="logloss")
    harness.work(soy)
    veins = harness.create("veins", "decoder", base="soy", trials=2, settings=SHORT)
    harness.work(veins)
    out = tmp_path / "soy.bundle"
    with monkeypatch.context() as patch:
        patch.setattr("venation.studies.ensemble.select_members", select_all)
        record = export(harness, out, "soy", "veins", top=2)

    label_members, decoders = record.members_of("classifier"), record.members_of("decoder")
    assert [len(label_members), len(decoders)] == [2, 2]
    ranked = sorted(soy.study.get_trials(), key=lambda trial: trial.values[0])
    assert [member.source.trial for member in label_members] == [trial.number for trial in ranked[:2]]
    assert record.sources[0] == label_members[0].source and record.sources[1] == decoders[0].source
    assert [member.weight for member in record.members] == [0.5] * 4
    # The score that chose is that of the ensemble that the bundle holds.
    for name in ("logloss", "iou"):
        assert f"together: {name} {record.metrics['val'][name].value:.4f} on the validation split" in caplog.text

    # What the bundle says is the mean of what its trials say, computed here.
    context, paths = harness.context(soy), sorted(harness.data.rglob("images/*/*.png"))[:3]
    image_BCHW = inputs(record, paths)
    with torch.inference_mode():
        said = [network(image_BCHW).logits_BN.softmax(1).numpy() for network in networks(context, soy, label_members)]
        masks = [
            network(image_BCHW).mask_logits_B1HW.sigmoid().numpy()
            for network in networks(harness.context(veins), veins, decoders)
        ]
    expected = np.mean(said, axis=0)
    rows = predict_paths(out, paths, tmp_path / "out", overlay=True, heatmap=True)
    assert [row["probability"] for row in rows] == pytest.approx(expected.max(axis=1).tolist(), abs=1e-5)
    assert [record.classes.index(row["label"]) for row in rows] == expected.argmax(axis=1).tolist()
    files, folders = {"predictions.csv", "predictions.run.json"}, {"masks", "overlays", "heatmaps"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == files | folders
    mask_hw = np.mean(masks, axis=0)[0, 0] > 0.5
    with Image.open(tmp_path / "out" / "masks" / f"{paths[0].stem}.png") as picture:
        assert (np.asarray(picture) > 0).mean() == pytest.approx(mask_hw.mean(), abs=0.05)

    found = check_bundle(out)
    assert found["onnx_difference"] <= TOLERANCE and found["samples_difference"] == 0
    scores = {row["metric"]: row["value"] for row in evaluate_bundle(out, harness.data, device=CPU)}
    assert scores["logloss"] == pytest.approx(record.metrics["test"]["logloss"].value)
    card = (out / CARD).read_text()
    assert f"classifier: the mean of the probabilities of {len(label_members)} trials" in card
    for member in label_members:
        assert f"weight {1 / len(label_members):.3f}: study `soy`, trial {member.source.trial}, logloss" in card


def test_a_bundle_of_one_useful_trial_is_that_trials_and_says_so(
    harness: StudyHarness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    harness.work(harness.create())
    alone, plain = tmp_path / "alone.bundle", tmp_path / "plain.bundle"
    record = export(harness, alone, "soy", top=3)
    assert "trial 0 goes into the bundle alone: no other of 0 improves its accuracy" in caplog.text
    again = export(harness, plain, "soy", top=1)
    assert record.members == () and record.metrics == again.metrics
    weights = {name: record.files[name] for name in ("weights.safetensors", "samples/expected.json")}
    assert weights == {name: again.files[name] for name in weights}
    # Records of before there were ensembles know nothing of members.
    fields = json.loads(again.model_dump_json(exclude={"members"}))
    assert BundleRecord.model_validate(fields) == again


def test_trials_that_see_images_in_another_form_do_not_join(
    harness: StudyHarness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    space = tmp_path / "space.yaml"
    space.write_text("data.fit: [squash, crop]\n")
    soy = harness.create(trials=4, objective="logloss", space=space, sampler="random")
    harness.work(soy)
    best = best_trial(soy)
    assert best is not None
    views = {trial.number: CONFIG.need(trial)["data"]["fit"] for trial in soy.study.get_trials()}
    others = [number for number, view in views.items() if view != views[best.number]]
    record = export(harness, tmp_path / "soy.bundle", "soy", top=4)
    assert others and f"{len(others)} trials see images of another size or form" in caplog.text
    assert {views[member.source.trial] for member in record.members} <= {views[best.number]}


def test_boosters_are_not_averaged(harness: StudyHarness, tmp_path: Path) -> None:
    soy = harness.create()
    harness.work(soy)
    boost = harness.create("boost", "booster", base="soy", trials=1, settings={"boost.rounds": 3})
    harness.work(boost)
    with pytest.raises(UsageError, match=r"--top 2: boosters are not averaged, and `boost` is a booster study"):
        export(harness, tmp_path / "soy.bundle", "boost", top=2)
    assert not (tmp_path / "soy.bundle").exists()


def test_a_trial_that_has_not_finished_is_no_candidate(harness: StudyHarness, tmp_path: Path) -> None:
    soy = harness.create(trials=2, objective="logloss")
    harness.end_next(soy, TrialState.FAIL)
    harness.work(soy)
    record = export(harness, tmp_path / "soy.bundle", "soy:1", top=3)
    assert [source.trial for source in record.sources] == [1] and record.members == ()
    for name, says in (("soy:0", "trial `soy:0` is FAIL"), ("soy:2", "has no trial 2"), ("soy:x", "write STUDY")):
        with pytest.raises(UserError, match=says):
            export(harness, tmp_path / "other.bundle", name, top=1)
