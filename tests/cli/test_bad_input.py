"""Invalid input of users: one line on stderr, the right exit code, and no partial results."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from PIL import Image
from small_bundle import (
    BAD_DATA,
    CLASSIFIER,
    EXPECTED_FAILURE,
    MISUSE,
    SmallBundle,
    refuse,
    rows,
    succeed,
    tree,
    venation,
)


@pytest.fixture
def data(small_bundle: SmallBundle, tmp_path: Path) -> Path:
    """Return a copy of the leaves that a test may damage."""
    return Path(shutil.copytree(small_bundle.leaves, tmp_path / "data"))


@pytest.fixture
def create(small_bundle: SmallBundle) -> Iterator[tuple[str, ...]]:
    """Yield a ``study create`` command; afterwards, assert that no study was created."""
    names = {row["study"] for row in rows("study", "list")}
    yield ("study", "create", "bad", "--kind", "classifier", "--data", str(small_bundle.leaves), "--trials", "1")
    assert {row["study"] for row in rows("study", "list")} == names


# Data


def damage(data: Path, how: str) -> tuple[Path, str]:
    """Damage a data set; return its path and a word of the expected message."""
    images = data / "images"
    match how:
        case "missing":
            return data / "nothing", "does not exist"
        case "empty":
            (data / "empty").mkdir()
            return data / "empty", "empty folder"
        case "one class":
            for name in ("cultivar_01", "cultivar_02"):
                shutil.rmtree(images / name)
                shutil.rmtree(data / "masks" / name)
            return data, "cultivar_00"
        case "one image":
            for path in sorted((images / "cultivar_01").iterdir())[1:]:
                path.unlink()
                (data / "masks" / "cultivar_01" / path.name).unlink()
            return data, "cultivar_01"
    raise AssertionError(how)


@pytest.mark.parametrize("how", ["missing", "empty", "one class", "one image"])
def test_unusable_data_are_refused(data: Path, create: tuple[str, ...], how: str) -> None:
    path, word = damage(data, how)
    refuse(BAD_DATA, *create, "--data", path, says=(word,))
    checked = venation("data", "check", path)
    assert checked.exit_code == BAD_DATA and word in checked.output


def test_a_truncated_image_is_reported_by_check_and_create(data: Path, create: tuple[str, ...]) -> None:
    victim = data / "images" / "cultivar_00" / "leaf_000.jpg"
    with Image.open(victim.with_suffix(".png")) as picture:
        picture.resize((200, 200)).save(victim, quality=95)
    victim.with_suffix(".png").unlink()
    victim.write_bytes(victim.read_bytes()[:4000])
    (found,) = [row for row in check_data(data) if row["level"] == "error"]
    assert found["path"] == "images/cultivar_00/leaf_000.jpg"
    refuse(BAD_DATA, *create, "--data", data, says=(victim.name,))


def test_a_mask_of_another_size_is_reported_by_check_and_create(data: Path, create: tuple[str, ...]) -> None:
    Image.new("L", (41, 40)).save(data / "masks" / "cultivar_02" / "leaf_003.png")
    found = [row for row in check_data(data) if row["level"] == "error"]
    assert [row["path"] for row in found] == ["masks/cultivar_02/leaf_003.png"]
    refuse(BAD_DATA, *create, "--data", data, says=("leaf_003.png",))


def check_data(data: Path) -> list[dict[str, str]]:
    import json

    result = venation("data", "check", data, "--json")
    assert result.exit_code == BAD_DATA
    return json.loads(result.stdout)


# Options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--kind", "clasifier"), ("clasifier", "'classifier', 'decoder', 'booster'")),
        (("--preset", "xmnett"), ("xmnett", "default, xmnet, mnsa")),
        (("--objective", "iou"), ("iou", "accuracy, macro_f1, logloss")),
        (("--set", "train.epoch=3"), ("train.epoch", "train.epochs")),
        (("--set", "optimizer=sgd"), ("optimizer", "train.optimizer")),
        (("--set", "train.lr=-1"), ("train.lr", "greater than 0")),
        (("--set", "data.size=huge"), ("data.size", "huge")),
        (("--set", "data.mean=0.5,0.5"), ("data.mean", "three numbers from 0 to 1")),
        (("--set", "data.std=0.5,0.5,0"), ("data.std", "three numbers from 0.001 to 10")),
        (("--set", "data.interpolation=cubic"), ("data.interpolation", "bilinear", "bicubic", "auto")),
        (("--set", "train.epochs"), ("train.epochs", "KEY=VALUE")),
        (("--set", "encoder.name=resnet81"), ("resnet81", "did you mean", "resnet18")),
        (("--set", "decoder.kind=unet"), ("decoder.kind", "classifier")),
        (("--sampler", "grid"), ("sampler", "grid")),
        (("--heartbeat", "0"), ("heartbeat", "greater than 0")),
        (("--heartbeat", "inf"), ("heartbeat", "finite")),
        (("--heartbeat", "1e18"), ("heartbeat", "1e+18", "0.05 to 3600 seconds")),
        (("--heartbeat", "0.001"), ("heartbeat", "0.001", "0.05 to 3600 seconds")),
        (("--timeout", "inf"), ("timeout", "finite")),
        (("--timeout", "-5"), ("timeout", "greater than 0")),
        (("--trials", "0"), ("--trials", "greater than or equal to 1")),
        (("--base", "tiny"), ("--base", "freezes nothing")),
        (("--space", ""), ("`--space` names no file",)),
    ],
)
def test_an_invalid_option_is_refused(create: tuple[str, ...], options: tuple[str, ...], says: tuple[str, ...]) -> None:
    refuse(MISUSE, *create, *options, says=says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trails: 3", ("trails", "trials")),
        ("trials: many", ("trials", "many")),
        ("preset: [mnsa]", ("preset", "one value")),
        ("set: {1: 2}", ("set", "train.epochs")),
        ("set: {train.epoch: 3}", ("train.epoch", "train.epochs")),
        ("kind: [", ("not YAML",)),
        ("\x80", ("not YAML",)),
        ("name: ''", ("study name ''", "letters")),
    ],
)
def test_an_invalid_study_file_is_refused(
    tmp_path: Path, create: tuple[str, ...], text: str, says: tuple[str, ...]
) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes(f"kind: classifier\ndata: {create[create.index('--data') + 1]}\n{text}\n".encode("latin-1"))
    named = () if text.startswith("name") else ("bad",)
    refuse(MISUSE, "study", "create", *named, "--file", file, says=says)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99", ""])
def test_an_unavailable_device_is_refused(small_bundle: SmallBundle, tmp_path: Path, device: str) -> None:
    leaves, out = small_bundle.leaves / "images", tmp_path / "out"
    refuse(MISUSE, "predict", small_bundle.path, leaves, "-o", out, "--device", device, says=(f"`{device}`", "cpu"))
    refuse(MISUSE, "worker", "tiny", "--until-idle", "--device", device, says=(f"`{device}`", "cpu"))
    assert not out.exists()


# Studies


def test_a_base_must_be_an_existing_classifier(small_bundle: SmallBundle, create: tuple[str, ...]) -> None:
    booster = ("study", "create", "bad", "--kind", "booster")
    refuse(MISUSE, *booster, says=("--base",))
    refuse(MISUSE, *booster, "--base", "tiny:last", says=("tiny:last", "STUDY:NUMBER"))
    refuse(MISUSE, *booster, "--base", "tiny-boost", says=("tiny-boost", "classifier"))
    refuse(EXPECTED_FAILURE, *booster, "--base", "tinny", says=("tinny", "tiny-veins"))
    refuse(EXPECTED_FAILURE, *booster, "--base", "tiny:3", says=("no trial 3", "0 to 0"))


def test_a_base_may_be_unfinished_but_not_ended_without_a_result(small_bundle: SmallBundle) -> None:
    from venation.storage.database import open_storage, resolve_url

    succeed(
        "study", "create", "base", "--kind", "classifier", "--data", small_bundle.leaves, "--trials", 1, *CLASSIFIER
    )
    booster = ("study", "create", "on-base", "--kind", "booster", "--trials", 1, "--base")
    try:
        refuse(EXPECTED_FAILURE, *booster, "base:0", says=("base:0", "WAITING", "COMPLETE"))
        succeed(*booster, "base")
        refuse(EXPECTED_FAILURE, "worker", "on-base", "--until-idle", says=("on-base", "venation worker base"))
        refuse(EXPECTED_FAILURE, "study", "delete", "base", "--yes", says=("is the base of `on-base`",))
        succeed("study", "delete", "on-base", "--yes")
        storage = open_storage(resolve_url(None))
        (waiting,) = optuna.load_study(study_name="base", storage=storage).get_trials()
        storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
        storage.set_trial_state_values(waiting._trial_id, TrialState.FAIL)
        refuse(EXPECTED_FAILURE, *booster, "base", says=("ended without a finished trial",))
        refuse(EXPECTED_FAILURE, "study", "best", "base", says=("no finished trial", "base"))
    finally:
        succeed("study", "delete", "base", "--yes")


def test_a_space_of_a_study_and_a_preset_together_is_refused(small_bundle: SmallBundle) -> None:
    refuse(MISUSE, "study", "space", "tiny", "--preset", "mnsa", says=("`tiny` and `--preset mnsa` name two spaces",))
    refuse(MISUSE, "study", "space", "tiny", "--kind", "decoder", says=("`tiny` and `--kind decoder` name two",))
    assert succeed("study", "space", "tiny") != succeed("study", "space", "--kind", "decoder", "--preset", "mnsa")
    assert succeed("study", "space") == succeed("study", "space", "--preset", "default", "--kind", "classifier")


def test_another_spec_under_an_existing_name_is_refused(small_bundle: SmallBundle) -> None:
    again = ("study", "create", "tiny", "--kind", "classifier", "--data", small_bundle.leaves, *CLASSIFIER)
    refuse(EXPECTED_FAILURE, *again, "--trials", 7, says=("trials: 1 -> 7", "venation study extend tiny"))


def test_unknown_studies_and_trials_are_refused(small_bundle: SmallBundle, tmp_path: Path) -> None:
    for command in (("study", "show"), ("study", "trials"), ("study", "best"), ("study", "delete"), ("worker",)):
        refuse(EXPECTED_FAILURE, *command, "tinny", says=("`tinny` does not exist", "tiny, tiny-boost, tiny-veins"))
    refuse(EXPECTED_FAILURE, "trial", "show", "tiny", 99, says=("no trial 99", "0 to 0"))
    refuse(EXPECTED_FAILURE, "bundle", "export", "tinny", "-o", tmp_path / "x", says=("tinny",))
    refuse(MISUSE, "bundle", "export", "tiny", "tiny", "-o", tmp_path / "x", says=("both classifier",))
    assert tree(tmp_path) == set()


# Storage


@pytest.mark.parametrize(
    "command", [("study", "list"), ("db", "status"), ("db", "init"), ("worker", "soy")], ids=" ".join
)
def test_an_unreachable_database_is_one_line_without_the_password(command: tuple[str, ...]) -> None:
    url = "postgresql://u:secret@127.0.0.1:1/x"
    line = refuse(EXPECTED_FAILURE, *command, "--storage", url, says=("u:***@127.0.0.1:1/x", "VENATION_STORAGE"))
    assert "secret" not in line


def test_unsupported_databases_and_stores_are_refused(tmp_path: Path) -> None:
    refuse(
        EXPECTED_FAILURE, "study", "list", "--storage", f"sqlite:///{tmp_path}/x.db", says=("sqlite", "postgresql://")
    )
    refuse(EXPECTED_FAILURE, "study", "list", "--storage", "postgresql://host", says=("database", "postgresql://"))
    (tmp_path / "file").write_text("")
    for artifacts in ("ftp://bucket", str(tmp_path / "file")):
        refuse(
            EXPECTED_FAILURE,
            "dashboard",
            "--artifacts",
            artifacts,
            says=("--artifacts" if "ftp" not in artifacts else "ftp:; give a folder",),
        )
    assert tree(tmp_path) == {"file"}


def test_a_dashboard_for_other_machines_needs_a_login(small_bundle: SmallBundle, tmp_path: Path) -> None:
    refuse(EXPECTED_FAILURE, "dashboard", "--host", "0.0.0.0", "--port", "0", says=("0.0.0.0", "--login"))
    refuse(EXPECTED_FAILURE, "dashboard", "--login", tmp_path / "none", says=(f"{tmp_path}/none", "--add-user"))
    refuse(MISUSE, "dashboard", "--add-user", "ada", says=("--add-user", "--login FILE"))


def test_a_port_in_use_is_refused(small_bundle: SmallBundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refuse(EXPECTED_FAILURE, "dashboard", "--port", port, says=(f"127.0.0.1:{port}", "--port"))
