"""The linear probe beside a bundle, on the sealed test split."""

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small_bundle import SmallBundle, rows, succeed

from venation.api.bundle import load_bundle
from venation.data.data_config import DataConfig
from venation.data.dataset import LeafDataset
from venation.data.manifest import load_manifest
from venation.data.splits import assign_splits
from venation.models.build import build_network
from venation.models.network_config import EncoderConfig
from venation.studies.bundle_baseline import compare_on_test
from venation.trials.metrics import LabelOutcomes
from venation.trials.paired import compare_paired
from venation.trials.probe_config import DEFAULT_ENCODER, probe_config
from venation.trials.trial_config import TrialConfig


def test_bundle_says_how_it_compares_with_the_probe_on_the_test_split(small_bundle: SmallBundle) -> None:
    bundle = load_bundle(small_bundle.path, device="cpu")
    split, config = bundle.record.split, probe_config(DEFAULT_ENCODER, DataConfig(size=bundle.record.config.data.size))
    manifest = assign_splits(load_manifest(small_bundle.leaves), seed=split.seed, val=split.val, test=split.test)
    encoder = build_network(config.network(3)).eval().encoder
    # The booster is fitted on the validation images too.
    assert bundle.record.config.boost.folds
    parts = {}
    for name, splits in (("known", ("train", "val")), ("test", ("test",))):
        samples = [sample for part in splits for sample in manifest.split(part)]
        dataset = LeafDataset(samples, manifest.classes, config.data, train=False)
        with torch.inference_mode():
            x = encoder(torch.stack([dataset[index].image_CHW for index in range(len(dataset))]))[-1].mean(dim=(2, 3))
        parts[name] = x.double().numpy(), np.array(dataset.labels)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1, max_iter=5000, tol=1e-9)).fit(*parts["known"])
    x, labels = parts["test"]
    probe_right = pipeline.predict(x) == labels
    answers = [
        manifest.classes.index(found.label) for found in bundle.predict([s.image for s in manifest.split("test")])
    ]
    expected = compare_paired(np.array(answers) == labels, probe_right)
    found = bundle.record.versus_probe
    assert found is not None and found.encoder == DEFAULT_ENCODER
    assert found.accuracy == pytest.approx(probe_right.mean())
    assert {name: getattr(found, name) for name in vars(expected)} == vars(expected)
    sentence = found.sentence()
    assert sentence.endswith(f"on {len(labels)} test images") or "may be chance" in sentence
    assert rows("bundle", "show", small_bundle.path)["versus_probe"]["says"] == sentence
    assert sentence in succeed("bundle", "show", small_bundle.path)
    assert sentence[1:] in (small_bundle.path / "README.md").read_text()


def test_an_export_does_without_the_probe_where_the_first_weights_are_gone(caplog: pytest.LogCaptureFixture) -> None:
    encoder = EncoderConfig(name="test_resnet", weights="/gone/weights.safetensors")
    spec, manifest = (
        SimpleNamespace(config=TrialConfig(encoder=encoder)),
        SimpleNamespace(split=list, classes=("a", "b")),
    )
    context: Any = SimpleNamespace(spec=spec, manifest=manifest, device=torch.device("cpu"))
    caplog.set_level(logging.INFO)
    labels = LabelOutcomes.of(np.eye(2), np.arange(2))
    assert compare_on_test(labels, context, fitted_on=("train",)) is None
    assert "not compared with a linear probe: /gone/weights.safetensors cannot be read" in caplog.text
