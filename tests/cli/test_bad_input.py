"""What a user can get wrong: one line on stderr, the right exit code, and nothing left half-written."""

import resource
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from PIL import Image
from tiny import CLASSIFIER, TinyBundle, rows, succeed, venation

EXPECTED_FAILURE, MISUSE, BAD_DATA = 1, 2, 3


def refuse(code: int, *arguments: object, says: tuple[str, ...]) -> str:
    """Run a command that must fail with ``code`` and one line that holds all of ``says``; returns the line."""
    result = venation(*arguments)
    assert result.exit_code == code, result.output
    line = result.stderr.removesuffix("\n")
    if line.startswith("Usage: "):
        # The parser's own refusals show the usage first.
        line = line.splitlines()[-1]
    assert line.startswith("Error: ") and "\n" not in line and "Traceback" not in result.output, result.output
    assert not result.stdout and [part for part in says if part not in line] == [], line
    return line


def tree(folder: Path) -> set[str]:
    """All that lies in a folder, hidden files too."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.fixture
def data(tiny: TinyBundle, tmp_path: Path) -> Path:
    """A copy of the leaves that a test may damage."""
    return Path(shutil.copytree(tiny.leaves, tmp_path / "data"))


@pytest.fixture
def create(tiny: TinyBundle) -> Iterator[tuple[str, ...]]:
    """``study create`` of a study that must not be there afterwards."""
    names = {row["study"] for row in rows("study", "list")}
    yield ("study", "create", "bad", "--kind", "classifier", "--data", str(tiny.leaves), "--trials", "1")
    assert {row["study"] for row in rows("study", "list")} == names


# Data


def damage(data: Path, how: str) -> tuple[Path, str]:
    """Damage a data set; returns its path and a word that the complaint must hold."""
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
def test_data_that_cannot_be_learnt_from(data: Path, create: tuple[str, ...], how: str) -> None:
    path, word = damage(data, how)
    refuse(BAD_DATA, *create, "--data", path, says=(word,))
    checked = venation("data", "check", path)
    assert checked.exit_code == BAD_DATA and word in checked.output


def test_a_truncated_image_is_found_by_check_and_worker(data: Path) -> None:
    victim = data / "images" / "cultivar_00" / "leaf_000.jpg"
    with Image.open(victim.with_suffix(".png")) as picture:
        picture.resize((200, 200)).save(victim, quality=95)
    victim.with_suffix(".png").unlink()
    victim.write_bytes(victim.read_bytes()[:4000])
    (found,) = [row for row in found_by_check(data) if row["level"] == "error"]
    assert found["path"] == "images/cultivar_00/leaf_000.jpg"
    worker_refuses(data, victim.name)


def test_a_mask_of_another_size_is_found_by_check_and_worker(data: Path) -> None:
    Image.new("L", (41, 40)).save(data / "masks" / "cultivar_02" / "leaf_003.png")
    found = [row for row in found_by_check(data) if row["level"] == "error"]
    assert [row["path"] for row in found] == ["masks/cultivar_02/leaf_003.png"]
    worker_refuses(data, "leaf_003.png")


def found_by_check(data: Path) -> list[dict[str, str]]:
    import json

    result = venation("data", "check", data, "--json")
    assert result.exit_code == BAD_DATA
    return json.loads(result.stdout)


def worker_refuses(data: Path, name: str) -> None:
    """A worker names the file and hands the trial back: once the file is mended the study goes on."""
    succeed("study", "create", "bad", "--kind", "classifier", "--data", data, "--trials", 1, *CLASSIFIER)
    try:
        refuse(BAD_DATA, "worker", "bad", "--until-idle", "--device", "cpu", says=(name,))
        (trial,) = rows("study", "trials", "bad")
        assert trial["state"] == "WAITING"
    finally:
        succeed("study", "delete", "bad", "--yes")


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
        (("--set", "train.epochs"), ("train.epochs", "KEY=VALUE")),
        (("--set", "encoder.name=resnet81"), ("resnet81", "did you mean", "resnet18")),
        (("--set", "decoder.kind=unet"), ("decoder.kind", "classifier")),
        (("--sampler", "grid"), ("sampler", "grid")),
        (("--heartbeat", "0"), ("heartbeat", "greater than 0")),
        (("--timeout", "-5"), ("timeout", "greater than 0")),
        (("--trials", "0"), ("--trials", "greater than or equal to 1")),
        (("--base", "tiny"), ("--base", "freezes nothing")),
    ],
)
def test_an_option_that_does_not_fit(create: tuple[str, ...], options: tuple[str, ...], says: tuple[str, ...]) -> None:
    refuse(MISUSE, *create, *options, says=says)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:99", ""])
def test_a_device_that_is_not_here(tiny: TinyBundle, tmp_path: Path, device: str) -> None:
    leaves, out = tiny.leaves / "images", tmp_path / "out"
    refuse(MISUSE, "predict", tiny.path, leaves, "-o", out, "--device", device, says=(f"`{device}`", "cpu"))
    refuse(MISUSE, "worker", "tiny", "--until-idle", "--device", device, says=(f"`{device}`", "cpu"))
    assert not out.exists()


# Studies


def test_a_base_must_be_a_classifier_with_a_result(tiny: TinyBundle, create: tuple[str, ...]) -> None:
    booster = ("study", "create", "bad", "--kind", "booster")
    refuse(MISUSE, *booster, says=("--base",))
    refuse(MISUSE, *booster, "--base", "tiny:last", says=("tiny:last", "STUDY:NUMBER"))
    refuse(MISUSE, *booster, "--base", "tiny-boost", says=("tiny-boost", "classifier"))
    refuse(EXPECTED_FAILURE, *booster, "--base", "tinny", says=("tinny", "tiny-veins"))
    refuse(EXPECTED_FAILURE, *booster, "--base", "tiny:3", says=("no trial 3", "0 to 0"))


def test_a_base_may_still_have_trials_to_run_but_not_have_ended_without_one(tiny: TinyBundle) -> None:
    from venation.storage.database import open_storage, resolve_url

    succeed("study", "create", "base", "--kind", "classifier", "--data", tiny.leaves, "--trials", 1, *CLASSIFIER)
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


def test_another_spec_under_a_name_that_is_taken(tiny: TinyBundle) -> None:
    again = ("study", "create", "tiny", "--kind", "classifier", "--data", tiny.leaves, *CLASSIFIER)
    refuse(EXPECTED_FAILURE, *again, "--trials", 7, says=("trials: 1 -> 7", "choose another name"))


def test_studies_and_trials_that_are_not_there(tiny: TinyBundle, tmp_path: Path) -> None:
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
def test_a_database_that_does_not_answer_and_its_password(command: tuple[str, ...]) -> None:
    url = "postgresql://u:secret@127.0.0.1:1/x"
    line = refuse(EXPECTED_FAILURE, *command, "--storage", url, says=("u:***@127.0.0.1:1/x", "VENATION_STORAGE"))
    assert "secret" not in line


def test_databases_and_stores_that_cannot_serve(tmp_path: Path) -> None:
    refuse(
        EXPECTED_FAILURE, "study", "list", "--storage", f"sqlite:///{tmp_path}/x.db", says=("sqlite", "postgresql://")
    )
    refuse(EXPECTED_FAILURE, "study", "list", "--storage", "postgresql://host", says=("database", "postgresql://"))
    (tmp_path / "file").write_text("")
    for artifacts in ("s3://bucket", str(tmp_path / "file")):
        refuse(
            EXPECTED_FAILURE,
            "dashboard",
            "--artifacts",
            artifacts,
            says=("--artifacts" if "s3" not in artifacts else "s3",),
        )
    assert tree(tmp_path) == {"file"}


def test_a_port_that_is_taken(tiny: TinyBundle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refuse(EXPECTED_FAILURE, "dashboard", "--port", port, says=(f"127.0.0.1:{port}", "--port"))


# Bundles


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Writing beyond ``size`` bytes fails, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_no_room_for_the_bundle(tiny: TinyBundle, tmp_path: Path, form: str) -> None:
    size = {path.name: path.stat().st_size for path in tiny.path.iterdir() if path.is_file()}
    assert size["model.onnx"] > size["weights.safetensors"] + 100_000
    # In the folder the ONNX file does not fit; for the archive every file does, and their sum does not.
    out, limit = {
        "folder": ("x.bundle", size["weights.safetensors"] + 50_000),
        "archive": ("x.zip", size["model.onnx"] + 200_000),
    }[form]
    with files_no_larger_than(limit):
        refuse(EXPECTED_FAILURE, "bundle", "export", "tiny-boost", "-o", tmp_path / out, says=(out, "make room"))
    assert tree(tmp_path) == set()


def test_an_export_replaces_nothing(tiny: TinyBundle, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    refuse(EXPECTED_FAILURE, "bundle", "export", "tiny", "-o", tmp_path / "mine", says=("exists", "-o"))
    assert tree(tmp_path) == {"mine"}


def predict_and_check_refuse(bundle: Path, tmp_path: Path, *says: str) -> None:
    out = tmp_path / "out"
    before = tree(tmp_path)
    refuse(EXPECTED_FAILURE, "bundle", "check", bundle, says=says)
    refuse(EXPECTED_FAILURE, "predict", bundle, bundle, "-o", out, says=says)
    refuse(EXPECTED_FAILURE, "evaluate", bundle, bundle, says=says)
    assert tree(tmp_path) == before


def test_a_bundle_with_a_changed_byte(copied: Path, tmp_path: Path) -> None:
    content = bytearray((copied / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (copied / "weights.safetensors").write_bytes(content)
    predict_and_check_refuse(copied, tmp_path, "weights.safetensors was changed")


def test_a_bundle_with_a_missing_file(copied: Path, tmp_path: Path) -> None:
    (copied / "booster.ubj").unlink()
    predict_and_check_refuse(copied, tmp_path, "booster.ubj is missing")


def test_a_bundle_with_a_link(copied: Path, tmp_path: Path) -> None:
    (copied / "samples" / "extra.png").symlink_to("/etc/hostname")
    predict_and_check_refuse(copied, tmp_path, "extra.png", "is a link")


def test_an_archive_that_leads_out(copied: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "evil"), "zip", copied))
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../../escaped", "evil")
    predict_and_check_refuse(archive, tmp_path, "../../escaped", "leads out of the bundle")
    assert not list(tmp_path.parent.rglob("escaped"))


def test_paths_that_hold_no_images(tiny: TinyBundle, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    for name, word in {
        "nothing": "does not exist",
        "empty": "holds no images",
        "notes.txt": "cannot be decoded",
    }.items():
        refuse(BAD_DATA, "predict", tiny.path, tmp_path / name, "-o", tmp_path / "out", says=(name, word))
    assert tree(tmp_path) == {"empty", "notes.txt"}


# Folders of others


def test_a_demo_does_not_touch_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    refuse(EXPECTED_FAILURE, "demo", "--out", tmp_path, says=("not empty", "--out"))
    assert tree(tmp_path) == {"thesis.tex"}


def test_leaves_are_not_drawn_over_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    refuse(BAD_DATA, "data", "synth", tmp_path, says=("not an empty folder",))
    refuse(MISUSE, "data", "synth", tmp_path / "new", "--classes", 1, says=("classes is 1",))
    assert tree(tmp_path) == {"thesis.tex"}


# The real thing: another process, its exit code and its stderr


def test_a_process_ends_with_the_code_and_the_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "venation.cli", "data", "check", str(tmp_path / "nothing")]
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (BAD_DATA, "")
    assert found.stderr.startswith("Error: ") and found.stderr.count("\n") == 1
