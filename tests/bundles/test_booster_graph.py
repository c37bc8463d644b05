"""The booster as an ONNX graph against XGBoost's own answers."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import xgboost as xgb

from venation.bundles.booster_graph import write_booster_graph
from venation.trials.booster import Booster

KINDS = {
    "gblinear": {"booster": "gblinear"},
    "gbtree": {"booster": "gbtree", "max_depth": 3},
    "dart": {"booster": "dart", "max_depth": 2, "rate_drop": 0.5},
}


@pytest.fixture(params=KINDS)
def booster(request: pytest.FixtureRequest) -> Booster:
    """Return a booster of four uneven classes on features of very different scales."""
    rng = np.random.default_rng(0)
    y = rng.choice(4, size=80, p=[0.5, 0.2, 0.2, 0.1])
    x = rng.normal(size=(80, 6)) + np.eye(4, 6)[y]
    x = (x * 10.0 ** np.arange(-3, 3) + 5).astype(np.float32)
    mean, scale = x.mean(axis=0), x.std(axis=0)
    options = {"objective": "multi:softprob", "num_class": 4, "seed": 0, "nthread": 1} | KINDS[request.param]
    matrix = xgb.DMatrix(((x - mean) / scale).round(3), label=y)
    return Booster.scaled(xgb.train(options, matrix, num_boost_round=12), mean, scale)


def test_the_graph_answers_as_xgboost_does(booster: Booster, tmp_path: Path) -> None:
    write_booster_graph(booster, tmp_path / "booster.onnx")
    x = np.random.default_rng(1).normal(size=(500, 6)) * 1.5 * 10.0 ** np.arange(-3, 3) + 5
    x = x.astype(np.float32)
    session = onnxruntime.InferenceSession(tmp_path / "booster.onnx")
    (found,) = session.run(["probabilities"], {"features": x})
    expected = booster.predict(x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The answers differ from image to image: a graph of constants would not pass.
    assert len(np.unique(expected.argmax(axis=1))) > 2
