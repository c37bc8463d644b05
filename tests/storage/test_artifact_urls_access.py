"""Artifact stores without access rights: every command fails in one line and changes nothing."""

import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import optuna
import pytest
from disks import mounted
from moto.core.authorization import enable_iam_authentication
from moto.server import ThreadedMotoServer
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from small_bundle import CLASSIFIER, EXPECTED_FAILURE, refuse, succeed, venation
from study_helpers import StudyHarness

from venation.errors import UserError
from venation.storage.artifact_urls import open_artifacts
from venation.storage.folder import FolderStore
from venation.storage.store_protocol import StoreFailed, check_writable

ADVICE = "check the permissions of the folder"

Keys = dict[str, dict[str, str]]
LogIn = Callable[[str], None]

# The rights of each user in every bucket.
_POLICIES = {
    "owner": ["s3:*"],
    "reader": ["s3:ListBucket", "s3:GetObject"],
    "writer": ["s3:ListBucket", "s3:PutObject", "s3:DeleteObject"],
    "stranger": [],
}


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    """Start an S3 server with the bucket ``lab``, and yield the access keys of its users."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # Servers of one process share their users and buckets, also those of an earlier module.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    connection: dict[str, Any] = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    connection |= {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
    iam = boto3.client("iam", **connection)
    boto3.client("s3", **connection).create_bucket(Bucket="lab")
    made: Keys = {}
    for user, actions in _POLICIES.items():
        iam.create_user(UserName=user)
        if actions:
            rule = {"Effect": "Allow", "Action": actions, "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [rule]})
            iam.put_user_policy(UserName=user, PolicyName="s3", PolicyDocument=policy)
        key = iam.create_access_key(UserName=user)["AccessKey"]
        made[user] = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    made["forger"] = made["owner"] | {"AWS_SECRET_ACCESS_KEY": "guessed"}
    made["unknown"] = {"AWS_ACCESS_KEY_ID": "AKIAGUESSED", "AWS_SECRET_ACCESS_KEY": "guessed"}
    for found in made.values():
        found |= {"AWS_ENDPOINT_URL": connection["endpoint_url"], "AWS_DEFAULT_REGION": "us-east-1"}
    with enable_iam_authentication():
        yield made
    server.stop()


@pytest.fixture
def log_in(keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogIn:
    """Return a function that sets the environment to one user of the bucket."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def become(user: str) -> None:
        for name, value in keys[user].items():
            monkeypatch.setenv(name, value)

    return become


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Make a read-only folder with a stored file and the partial file of a killed writer."""
    with mounted(folder, megabytes=4) if os.geteuid() == 0 else nullcontext(folder):
        store = FolderStore(folder / "store")
        (store.folder / ".partial").mkdir(parents=True)
        store.write("metrics", io.BytesIO(b"{}"))
        (store.folder / ".partial" / "left").touch()
        os.utime(store.folder / ".partial" / "left", (0, 0))
        if os.geteuid() == 0:  # file modes do not restrict root
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
            yield folder
            return
        folders = [folder, store.folder, store.folder / ".partial"]
        for path in folders:
            path.chmod(0o555)
        yield folder
        for path in folders:
            path.chmod(0o755)


@contextmanager
def another_user() -> Iterator[None]:
    """Run as a user whom file modes restrict, unlike root."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def assert_refused_everywhere(
    harness: StudyHarness, url: str | Path, database: str, *says: str, may_read: bool = False
) -> None:
    """Assert that creating, working and (unless ``may_read``) verifying fail without changes."""
    handle = harness.create()
    places = ("--artifacts", url, "--storage", database)
    create = ("study", "create", "bean", "--kind", "classifier", "--data", str(harness.data), *CLASSIFIER)
    for command in (create, ("worker", "soy", "--device", "cpu")):
        refuse(EXPECTED_FAILURE, *command, *places, says=says)
    if not may_read:
        refuse(EXPECTED_FAILURE, "artifacts", "verify", *places, says=says)
    (waiting,) = handle.study.get_trials()
    assert waiting.state == TrialState.WAITING and not waiting.user_attrs
    assert optuna.get_all_study_names(harness.storage) == ["soy"]


@pytest.mark.parametrize(
    ("user", "bucket", "says"),
    [
        ("owner", "nowhere", ("there is no such bucket",)),
        ("stranger", "lab", ("access denied (AccessDenied)", "s3:ListBucket")),
        ("forger", "lab", ("access denied (SignatureDoesNotMatch)", "give other credentials")),
        ("unknown", "lab", ("access denied (InvalidAccessKeyId)", "give other credentials")),
    ],
)
def test_a_bucket_that_refuses_access(
    harness: StudyHarness, postgres_url: str, log_in: LogIn, user: str, bucket: str, says: tuple[str, ...]
) -> None:
    log_in(user)
    assert_refused_everywhere(harness, f"s3://{bucket}/leaves", postgres_url, f"cannot use s3://{bucket}/leaves", *says)


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ("reader", ("cannot write artifact", "to s3://lab/leaves: access denied (AccessDenied)", "s3:PutObject")),
        ("writer", ("cannot remove artifact", "of s3://lab/leaves: access denied (403)", "s3:GetObject")),
    ],
)
def test_a_bucket_with_read_only_or_write_only_access(
    harness: StudyHarness, postgres_url: str, log_in: LogIn, user: str, says: tuple[str, ...]
) -> None:
    log_in(user)
    assert_refused_everywhere(harness, "s3://lab/leaves", postgres_url, *says, may_read=True)


def test_unreadable_files_are_not_reported_as_missing(
    storage: RDBStorage, leaves: Path, postgres_url: str, log_in: LogIn
) -> None:
    log_in("owner")
    harness = StudyHarness(storage, open_artifacts("s3://lab/kept"), leaves)
    harness.create()
    verify = ("artifacts", "verify", "--artifacts", "s3://lab/kept", "--storage", postgres_url)
    assert "0 missing, 0 damaged" in succeed(*verify)
    log_in("writer")
    refuse(EXPECTED_FAILURE, *verify, says=("cannot read artifact", "access denied (403)"))


def test_a_read_only_folder_can_still_be_read(harness: StudyHarness, postgres_url: str, tmp_path: Path) -> None:
    with read_only(tmp_path / "disk") as disk:
        store = disk / "store"
        assert_refused_everywhere(harness, store, postgres_url, f"to {store}: ", ADVICE, may_read=True)
        refuse(EXPECTED_FAILURE, "worker", "soy", "--artifacts", disk / "new", says=("cannot keep artifacts in",))
        with open_artifacts(str(store)).open_reader("metrics") as kept:
            assert kept.read() == b"{}"
        # Verifying needs read access only. The study's files are in another store, so they are
        # missing here.
        looked = ("artifacts", "verify", "soy", "--artifacts", store, "--storage", postgres_url)
        assert "1 missing" in venation(*looked).stdout


def test_an_unreadable_folder_is_an_error_of_one_line(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    store.folder.mkdir()
    store.write("metrics", io.BytesIO(b"{}"))
    store.folder.chmod(0)
    with another_user():
        for use in (lambda: list(store.entries()), lambda: store.open_reader("metrics"), lambda: check_writable(store)):
            with pytest.raises(StoreFailed, match=rf"^cannot [^\n]*: Permission denied; {ADVICE}$"):
                use()
        with pytest.raises(UserError, match="cannot keep artifacts in .*: Permission denied; give another folder"):
            open_artifacts(str(tmp_path / "new"))
    store.folder.chmod(0o700)
