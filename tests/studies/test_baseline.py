"""The linear probe of a classifier study: its record, its file, and every trial against it."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from small_bundle import rows, succeed
from sqlalchemy import text
from study_helpers import DEADLINE_S, StudyHarness

from venation.data.dataset import LeafDataset
from venation.data.manifest import Sample
from venation.models.build import build_network
from venation.models.network_config import EncoderConfig
from venation.search.handle import StudyHandle
from venation.storage.artifacts import get_file, list_files
from venation.storage.attributes import VERSUS_PROBE
from venation.storage.database import study_lock
from venation.studies import baseline
from venation.studies.probe_record import baseline_row
from venation.studies.registry import open_study
from venation.trials import probe_config
from venation.trials.image_outcomes import ImageOutcomes
from venation.trials.paired import compare_paired
from venation.trials.probe_config import choose_probe
from venation.trials.trial_config import TrialConfig

_WAITERS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def count_waiters(harness: StudyHarness) -> int:
    """Return how many sessions wait for a lock of a study."""
    with harness.storage.engine.connect() as connection:
        return int(connection.scalar(text(_WAITERS)) or 0)


def read_outcomes(harness: StudyHarness, handle: StudyHandle, name: str, to: Path) -> ImageOutcomes:
    """Return a study's probe, or the outcomes of its trial 0."""
    owner = handle.study if name == "probe.json" else handle.study.get_trials()[0]
    return ImageOutcomes.read(get_file(harness.artifacts, owner, name, to=to, storage=handle.storage))


def new_pipeline() -> Pipeline:
    """Return scikit-learn's probe."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=5000, tol=1e-9))


def encode(config: TrialConfig, classes: Sequence[str], samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Return the pooled features of images, and their labels."""
    encoder = build_network(config.network(len(classes))).eval().encoder
    dataset = LeafDataset(samples, classes, config.data, train=False)
    with torch.inference_mode():
        levels = encoder(torch.stack([dataset[index].image_CHW for index in range(len(dataset))]))
    return levels[-1].mean(dim=(2, 3)).double().numpy(), np.array(dataset.labels)


def sklearn_probabilities(harness: StudyHarness, handle: StudyHandle) -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's probabilities and the labels of the validation images."""
    config, manifest = choose_probe(handle.spec.config), harness.context(handle).manifest
    assert config is not None
    x, labels = encode(config, manifest.classes, manifest.split("val"))
    known = encode(config, manifest.classes, manifest.split("train"))
    return new_pipeline().fit(*known).predict_proba(x), labels


def test_first_worker_records_the_probe_and_every_trial_is_compared_with_it(
    harness: StudyHarness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    handle = harness.create()
    harness.work(handle)
    probability, labels = sklearn_probabilities(harness, handle)
    record = handle.study.user_attrs["probe"]
    # The study's encoder has random weights and no others, so the probe takes the packaged one.
    assert (record["encoder"], record["size"], record["images"]) == ("tf_efficientnet_lite0", 32, len(labels))
    assert record["accuracy"] == pytest.approx((probability.argmax(axis=1) == labels).mean())
    assert record["logloss"] == pytest.approx(log_loss(labels, probability), abs=1e-4)
    assert f"linear probe: accuracy {record['accuracy']:.3f} on {len(labels)} validation images" in caplog.text
    probe = read_outcomes(harness, handle, "probe.json", tmp_path)
    np.testing.assert_array_equal(probe.answer_I, probability.argmax(axis=1))
    trial = read_outcomes(harness, handle, "outcomes.json", tmp_path)
    assert trial.images == probe.images
    expected = compare_paired(trial.answer_I == trial.label_I, probe.answer_I == probe.label_I)
    assert VERSUS_PROBE.get(handle.study.get_trials()[0]) == vars(expected)
    shown = baseline_row(handle)
    assert shown["probe"] == record and shown["versus_probe"]["trial"] == 0
    assert "the linear probe" in shown["versus_probe"]["says"]


def test_folds_are_scored_by_probes_that_have_not_seen_them(harness: StudyHarness, tmp_path: Path) -> None:
    handle = harness.create(folds=3)
    context = harness.context(handle)
    pool = [sample for sample in context.manifest.samples if sample.split != "test"]
    fold_of = {s.image: number for number, fold in enumerate(context.folds) for s in fold.split("val")}
    context.baseline.prepare()
    probe = read_outcomes(harness, handle, "probe.json", tmp_path)
    assert sorted(probe.images) == sorted(map(context.manifest.key, pool))
    config = choose_probe(handle.spec.config)
    assert config is not None
    x, labels = encode(config, context.manifest.classes, pool)
    split = PredefinedSplit([fold_of[sample.image] for sample in pool])
    answers = cross_val_predict(new_pipeline(), x, labels, cv=split)
    by_key = {context.manifest.key(sample): answer for sample, answer in zip(pool, answers, strict=True)}
    np.testing.assert_array_equal(probe.answer_I, [by_key[image] for image in probe.images])


def test_two_workers_at_once_record_one_probe(harness: StudyHarness) -> None:
    handle = harness.create()
    contexts = [harness.context(open_study(harness.storage, "soy")) for _ in range(2)]
    threads = [threading.Thread(target=context.baseline.prepare) for context in contexts]
    with study_lock(harness.storage, handle.id):
        # Both have computed their probe when they wait for the lock.
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + DEADLINE_S
        while count_waiters(harness) < 2:
            assert time.monotonic() < deadline
            threads[0].join(0.02)
    for thread in threads:
        thread.join()
    assert [file.filename for file in list_files(handle.study)].count("probe.json") == 1
    blobs = [path for path in harness.artifacts.folder.rglob("*") if path.is_file() and b"logloss" in path.read_bytes()]
    assert len(blobs) == 1


def test_study_without_pretrained_weights_says_so_and_runs(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    monkeypatch.setattr(probe_config, "found_offline", lambda encoder: False)
    handle = harness.create()
    assert harness.work(handle) == 1
    assert handle.study.user_attrs["probe"] == {"missing": "no pretrained weights on this machine"}
    (trial,) = handle.study.get_trials()
    assert trial.state.name == "COMPLETE" and VERSUS_PROBE.get(trial) is None
    assert "no pretrained weights" in succeed("study", "show", "soy", "--storage", postgres_url)


def test_weights_that_do_not_fit_are_no_failure_of_the_study(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "other.safetensors").write_bytes(save({"other": torch.zeros(3)}))
    encoder = EncoderConfig(name="test_resnet", weights=str(tmp_path / "other.safetensors"))
    monkeypatch.setattr(baseline, "choose_probe", lambda config: config.model_copy(update={"encoder": encoder}))
    handle = harness.create()
    context = harness.context(handle)
    context.baseline.prepare()
    assert "does not fit" in handle.study.user_attrs["probe"]["missing"]
    assert baseline_row(handle) == {"probe": handle.study.user_attrs["probe"]}


def test_cache_that_cannot_be_written_is_no_failure(
    harness: StudyHarness, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handle = harness.create()
    context = harness.context(handle)
    (tmp_path / "file").touch()
    monkeypatch.setenv("VENATION_HOME", str(tmp_path / "file"))
    context.baseline.prepare()
    assert handle.study.user_attrs["probe"]["images"] == len(context.manifest.split("val"))
    assert "the linear probe does without it" in caplog.text


def test_study_show_prints_the_comparison(harness: StudyHarness, postgres_url: str) -> None:
    harness.work(harness.create())
    shown = rows("study", "show", "soy", "--storage", postgres_url)
    versus = shown["versus_probe"]
    assert versus["difference"] == pytest.approx(shown["best"] - shown["probe"]["accuracy"])
    assert versus["says"] in succeed("study", "show", "soy", "--storage", postgres_url)
