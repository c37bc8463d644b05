"""Trials with folds: their values, a resumption after kill -9, and the bundle of their networks."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from optuna.trial import TrialState
from sklearn.metrics import accuracy_score, log_loss
from study_helpers import StudyHarness, WorkerProcess
from typer.testing import CliRunner

from venation import load_bundle
from venation.bundles.bundle import read_record
from venation.bundles.record import CARD, fold_weights
from venation.bundles.verify import check_bundle
from venation.cli import app
from venation.data.dataset import LeafDataset
from venation.data.loader import make_loader
from venation.errors import UsageError
from venation.insight.plan import plan_study
from venation.insight.simulate import simulate
from venation.search.handle import StudyHandle
from venation.storage import attributes
from venation.storage.artifacts import get_file, list_files
from venation.studies.base import recorded_config
from venation.studies.ensemble import Pick, pick_network
from venation.studies.export import export_studies
from venation.studies.registry import get_trial, trial_details
from venation.trials.errors import CheckpointMismatch
from venation.workers.fold_progress import FoldProgress
from venation.workers.fold_trial import mean_metrics

FOLDS = {"folds": 3, "settings": {"train.epochs": 2}, "objective": "logloss"}


def files(harness: StudyHarness, handle: StudyHandle, number: int = 0) -> dict[str, str | None]:
    found = list_files(get_trial(handle, number), storage=harness.storage)
    return {file.filename: file.sha256 for file in found if not file.filename.startswith("log-")}


def answers(harness: StudyHarness, handle: StudyHandle) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the held-out probabilities, labels and keys, by the stored weights alone."""
    context, trial = harness.context(handle), get_trial(handle, 0)
    config, said, labels, keys = recorded_config(trial), [], [], []
    for fold, manifest in enumerate(context.folds):
        network = pick_network(Pick(handle, trial, fold), context).eval()
        dataset = LeafDataset(manifest.split("val"), manifest.classes, config.data, train=False)
        for batch in make_loader(dataset, batch_size=4, train=False, seed=0):
            with torch.inference_mode():
                said.append(network(batch.image_BCHW).logits_BN.softmax(1).double().numpy())
            labels.append(batch.label_B.numpy())
        keys += [manifest.key(sample) for sample in manifest.split("val")]
    return np.concatenate(said), np.concatenate(labels), keys


def test_a_trial_is_the_mean_of_its_folds_and_the_bundle_their_ensemble(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create(**FOLDS)
    assert harness.work(handle) == 1
    trial = get_trial(handle, 0)
    folds = attributes.FOLDS.need(trial)
    assert [fold["epochs"] for fold in folds] == [2, 2, 2] and trial_details(handle, 0)["epochs"] == 6
    assert trial.intermediate_values == {number: fold["logloss"] for number, fold in enumerate(folds)}
    assert trial.values == [pytest.approx(np.mean([fold["logloss"] for fold in folds]))]
    assert attributes.METRICS.need(trial)["accuracy"] == pytest.approx(np.mean([fold["accuracy"] for fold in folds]))

    # The stored networks, asked about the images that they did not learn from.
    said, labels, keys = answers(harness, handle)
    sizes = np.cumsum([fold["images"] for fold in folds])
    pool = [sample for sample in harness.context(handle).manifest.samples if sample.split != "test"]
    assert sizes[-1] == len(keys) == len(set(keys)) == len(pool)
    parts = zip(np.split(said, sizes[:-1]), np.split(labels, sizes[:-1]), folds, strict=True)
    for said_here, label, fold in parts:
        probability = said_here / said_here.sum(axis=1, keepdims=True)
        assert fold["accuracy"] == pytest.approx(accuracy_score(label, probability.argmax(1)))
        assert fold["logloss"] == pytest.approx(log_loss(label, probability, labels=[0, 1, 2]), rel=1e-4)
    path = get_file(harness.artifacts, trial, "outcomes.json", to=tmp_path, storage=harness.storage)
    outcomes = json.loads(path.read_text())
    assert outcomes["images"] == keys and outcomes["answer"] == said.argmax(1).tolist()
    assert {fold_weights(fold) for fold in range(3)} < files(harness, handle).keys()

    out = tmp_path / "soy.bundle"
    with pytest.raises(UsageError, match="--top 2: a trial of `soy` is an ensemble of its folds already"):
        export_studies(harness.storage, harness.artifacts, ["soy"], out=out, device="cpu", top=2)
    export_studies(harness.storage, harness.artifacts, ["soy"], out=out, device="cpu")
    record = read_record(out)
    assert [member.weight for member in record.members] == [pytest.approx(1 / 3)] * 3 and record.has_folds("classifier")
    assert "accuracy" not in record.metrics["val"] and "accuracy" in record.metrics["test"]
    card = (out / CARD).read_text()
    assert "the mean of the probabilities of 3 networks, one for each fold: study `soy`, trial 0" in card
    check_bundle(out)
    context = harness.context(handle)
    networks = [pick_network(Pick(handle, trial, fold), context).eval() for fold in range(3)]
    sample = context.manifest.split("test")[:1]
    dataset = LeafDataset(sample, context.manifest.classes, record.config.data, train=False)
    (batch,) = make_loader(dataset, batch_size=1, train=False, seed=0)
    with torch.inference_mode():
        mean = np.mean([network(batch.image_BCHW).logits_BN.softmax(1).numpy()[0] for network in networks], axis=0)
    (prediction,) = load_bundle(out, device="cpu").predict([sample[0].image])
    assert dict(prediction.top) == pytest.approx(dict(zip(record.classes, mean.tolist(), strict=True)), abs=1e-5)
    with pytest.raises(Exception, match="study `soy` has folds: its curves go by folds"):
        simulate(handle)


def test_a_killed_worker_resumes_in_its_fold_and_epoch(
    harness: StudyHarness, start_worker: Callable[..., WorkerProcess]
) -> None:
    whole = harness.create("whole", **FOLDS)
    handle = harness.create("soy", **FOLDS)
    first = start_worker("soy", "--until-idle")
    first.wait_until(lambda: first.log.exists() and "fold 2/3 epoch 1/2" in first.log.read_text())
    first.send(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    assert get_trial(handle, 0).state == TrialState.RUNNING and 0 in get_trial(handle, 0).intermediate_values
    harness.silence()
    second = start_worker("soy", "--until-idle")
    harness.work(whole)
    assert second.wait() == 0, second.log.read_text()
    log = second.log.read_text()
    assert "resumed after" in log and "fold 1/3" not in log and "fold 2/3 epoch 1/2" not in log
    for record in (attributes.FOLDS, attributes.METRICS):
        assert record.need(get_trial(handle, 0)) == record.need(get_trial(whole, 0))
    assert get_trial(handle, 0).values == get_trial(whole, 0).values
    assert files(harness, handle) == files(harness, whole), "bit for bit as without the kill"
    assert [path.name for path in Path(harness.artifacts.folder).iterdir() if "checkpoint" in path.name] == []


def test_the_folds_of_a_decoder_are_an_ensemble_on_one_encoder(
    harness: StudyHarness, tmp_path: Path, postgres_url: str
) -> None:
    base = harness.create()
    settings = {"decoder.kind": "unet", "train.epochs": 1, "train.batch_size": 8}
    veins = harness.create("veins", "decoder", base="soy", folds=2, settings=settings, pruner=None)
    assert harness.work(base, veins) == 2
    folds = attributes.FOLDS.need(get_trial(veins, 0))
    assert get_trial(veins, 0).values == [pytest.approx(np.mean([fold["iou"] for fold in folds]))]
    out = tmp_path / "veins.bundle"
    export_studies(harness.storage, harness.artifacts, ["veins"], out=out, device="cpu")
    record = read_record(out)
    assert record.has_folds("decoder") and not record.has_folds("classifier") and len(record.members) == 2
    assert "iou" not in record.metrics["val"] and {"accuracy"} <= record.metrics["val"].keys()
    assert check_bundle(out)["samples_difference"] < 1e-6
    shown = CliRunner().invoke(app, ["trial", "show", "veins", "0", "--storage", postgres_url])
    assert shown.exit_code == 0 and "best_epoch" in shown.stdout, shown.output
    (point, *_) = plan_study(harness.context(veins))["points"]
    assert point["hours_a_trial"] == pytest.approx(point["seconds_an_epoch"] * 1 * 2 / 3600)


def test_means_have_the_metrics_of_every_fold() -> None:
    assert mean_metrics([{"a": 1.0, "b": 2.0}, {"a": 3.0}]) == {"a": 2.0}


def test_a_damaged_progress_restarts_the_trial(tmp_path: Path) -> None:
    class Damaged:
        def restore(self, to: Path) -> bool:
            to.write_bytes(b"no tar file")
            return True

    with pytest.raises(CheckpointMismatch, match="the progress of the folds cannot be read"):
        FoldProgress(Damaged(), tmp_path).restore()  # type: ignore[arg-type]
