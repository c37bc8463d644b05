"""The contract of all artifact stores; retries of transient errors, messages of lasting ones."""

import gc
import io
import os
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import optuna
import pytest
from moto.server import ThreadedMotoServer
from object_servers import Gcs, Misbehaving, Proxy, served
from optuna.artifacts import download_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from small_bundle import EXPECTED_FAILURE, refuse

from venation.errors import UserError
from venation.storage import artifacts, gcs, s3
from venation.storage.store_protocol import StoreFailed, check_writable

READ_ONLY = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",'
    ' "Resource": "arn:aws:s3:::readonly/*"}]}'
)


@pytest.fixture(scope="module")
def moto() -> Iterator[tuple[str, int]]:
    """A real server with the S3 protocol."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # The buckets of a server that ran in this process before are still there, and their policies.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    yield host, port
    server.stop()


@pytest.fixture(scope="module")
def admin(moto: tuple[str, int]) -> Any:
    """The client that creates the buckets without the proxy."""
    url = f"http://{moto[0]}:{moto[1]}"
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="admin", aws_secret_access_key="admin"
    )
    for name in ("lab", "readonly"):
        client.create_bucket(Bucket=name)
    client.put_object(Bucket="readonly", Key="metrics", Body=b"{}")
    client.put_bucket_policy(Bucket="readonly", Policy=READ_ONLY)
    return client


@pytest.fixture
def proxy(moto: tuple[str, int], admin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    """A proxy before the empty bucket ``lab``; the environment has no other settings."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "STORAGE_EMULATOR"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lab")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with served(Proxy, target=moto) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server
    for found in admin.list_objects_v2(Bucket="lab").get("Contents", ()):
        admin.delete_object(Bucket="lab", Key=found["Key"])


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Misbehaving]:
    with served(Gcs, objects={}, bucket="lab") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture(params=["folder", "s3", "gs"])
def store(
    request: pytest.FixtureRequest, proxy: Misbehaving, google: Misbehaving, tmp_path: Path
) -> artifacts.Artifacts:
    urls = {"folder": str(tmp_path / "store"), "s3": "s3://lab/soy/one", "gs": "gs://lab/soy/one"}
    return artifacts.open_artifacts(urls[request.param])


def content(store: artifacts.Artifacts, artifact_id: str) -> bytes:
    with store.open_reader(artifact_id) as reader:
        return reader.read()


def test_files_are_written_read_replaced_listed_and_removed(store: artifacts.Artifacts, tmp_path: Path) -> None:
    assert list(store.entries()) == []
    path = tmp_path / "weights"
    for body in (os.urandom(300_000), b"", b"short"):
        store.write("a-1.b", io.BytesIO(body))
        assert content(store, "a-1.b") == body
        path.write_bytes(body + b"x")
        store.link("blob", path)
        assert content(store, "blob") == body + b"x"
        path.unlink()
    assert {entry.artifact_id: entry.size for entry in store.entries()} == {"a-1.b": 5, "blob": 6}
    assert all(abs(entry.modified - time.time()) < 60 for entry in store.entries())
    store.sweep()
    check_writable(store)
    store.remove("blob")
    assert [entry.artifact_id for entry in store.entries()] == ["a-1.b"]
    for use in (store.open_reader, store.remove):
        with pytest.raises(ArtifactNotFound):
            use("blob")


def test_files_and_blobs_are_read_back_and_damage_is_reported(store: artifacts.Artifacts, tmp_path: Path) -> None:
    study = optuna.create_study()
    path, back = tmp_path / "metrics.json", tmp_path / "back"
    path.write_text("{}")
    artifact_id = artifacts.put_file(store, study, path)
    assert artifacts.put_file(store, study, path) == artifact_id
    download_artifact(artifact_store=store, artifact_id=artifact_id, file_path=str(tmp_path / "by optuna"))
    assert (tmp_path / "by optuna").read_text() == "{}"
    assert artifacts.get_file(store, study, "metrics.json", to=back).read_text() == "{}"
    store.write(artifact_id, io.BytesIO(b"[]"))
    with pytest.raises(UserError, match="is damaged"):
        artifacts.get_file(store, study, "metrics.json", to=back)
    assert artifacts.remove_blob(store, artifact_id) and not artifacts.remove_blob(store, artifact_id)
    assert back.read_text() == "{}" and not artifacts.read_blob(store, artifact_id, back)


def test_malformed_ids_are_refused(store: artifacts.Artifacts) -> None:
    for artifact_id in ("../x", "a/b", "", ".partial", "x" * 129):
        for use in (store.open_reader, store.remove, lambda bad: store.write(bad, io.BytesIO(b""))):
            with pytest.raises(UserError, match="no artifact id"):
                use(artifact_id)


@pytest.fixture
def lost(store: artifacts.Artifacts, admin: Any, google: Misbehaving, tmp_path: Path) -> Iterator[artifacts.Artifacts]:
    """A store of each kind whose folder or bucket was deleted with all files."""
    store.write("checkpoint", io.BytesIO(b"epoch 7"))
    store.remove("checkpoint")
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    admin.delete_bucket(Bucket="lab")
    google.bucket = "another"  # type: ignore[attr-defined]
    yield store
    admin.create_bucket(Bucket="lab")


def test_a_deleted_store_is_an_error_and_not_a_missing_file(lost: artifacts.Artifacts, tmp_path: Path) -> None:
    """Otherwise a trial would start again from epoch 0 while its checkpoint is only unreachable."""
    for use in (lost.open_reader, lost.remove):
        with pytest.raises(StoreFailed, match="there is no such bucket|the folder .* does not exist any more"):
            use("checkpoint")
    with pytest.raises(StoreFailed):
        artifacts.read_blob(lost, "checkpoint", tmp_path / "checkpoint")


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_each_prefix_is_a_separate_store(proxy: Misbehaving, google: Misbehaving, scheme: str) -> None:
    names = ("", "soy", "so")
    stores = [artifacts.open_artifacts(f"{scheme}://lab/{name}") for name in names]
    for name, store in zip(names, stores, strict=True):
        store.write("same", io.BytesIO(name.encode()))
    assert [content(store, "same").decode() for store in stores] == list(names)
    assert [[entry.artifact_id for entry in store.entries()] for store in stores] == [["same"]] * 3


def test_a_large_file_is_uploaded_in_parts_and_read_back_whole(proxy: Misbehaving) -> None:
    store = artifacts.open_artifacts("s3://lab/soy")
    body = os.urandom(9_000_000)
    proxy.expect("PUT")
    store.write("weights", io.BytesIO(body))
    assert len(proxy.requests) > 1 and all("partNumber" in path for path in proxy.requests)
    assert content(store, "weights") == body


def test_transient_errors_are_retried(proxy: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> None:
    store = artifacts.open_artifacts("s3://lab/soy")
    body = os.urandom(100_000)
    proxy.expect("PUT", 503, 500)
    store.write("weights", io.BytesIO(body))
    assert len(proxy.requests) == 3
    # The second answer breaks off half-way.
    proxy.expect("GET", 503, "cut")
    assert content(store, "weights") == body
    assert len(proxy.requests) == 3


def test_a_lasting_error_is_one_line_and_keeps_the_old_bytes(
    proxy: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    store = artifacts.open_artifacts("s3://lab/soy")
    store.write("weights", io.BytesIO(b"old"))
    proxy.expect("PUT", *[503] * 10)
    with pytest.raises(StoreFailed, match=r"cannot write artifact weights to s3://lab/soy: the store answers 503"):
        store.write("weights", io.BytesIO(b"new"))
    assert len(proxy.requests) == 2
    assert content(store, "weights") == b"old"


def test_a_store_that_does_not_respond_raises(proxy: Misbehaving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3, "_READ_S", 0.3)
    proxy.expect("GET", "hang")
    with pytest.raises(StoreFailed, match="Read timeout.*check the network"):
        artifacts.open_artifacts("s3://lab/soy")


@pytest.mark.parametrize(
    ("settings", "url", "message"),
    [
        ({}, "s3://nowhere/x", "cannot use s3://nowhere/x: there is no such bucket; create it, or correct --artifacts"),
        ({}, "s3://a b/x", "cannot use s3://a b/x: this is not a valid bucket name; correct --artifacts"),
        ({"AWS_ACCESS_KEY_ID": ""}, "s3://lab/x", "Unable to locate credentials; set AWS_ACCESS_KEY_ID and AWS_SECR"),
        ({"AWS_PROFILE": "soy"}, "s3://lab/x", r"profile \(soy\) could not be found; set AWS_ACCESS_KEY_ID"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://lab/x", "Could not connect.*check the network.*ENDPOINT"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "s3://lab/x", "Invalid endpoint: nonsense; correct --artifacts or the AWS"),
    ],
)
def test_a_wrong_bucket_is_reported_in_one_line(
    proxy: Misbehaving, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], url: str, message: str
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreFailed, match=message) as caught:
        artifacts.open_artifacts(url)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_command_reports_a_wrong_bucket_in_one_line(proxy: Misbehaving, postgres_url: str) -> None:
    places = ("--storage", postgres_url, "--artifacts", "s3://nowhere/x")
    refuse(EXPECTED_FAILURE, "artifacts", "verify", *places, says=("cannot use s3://nowhere/x: there is no such",))


def test_a_forbidden_bucket_is_reported_in_one_line(proxy: Misbehaving) -> None:
    proxy.expect("GET", 403)
    with pytest.raises(StoreFailed, match=r"cannot use s3://lab/soy: access denied .*rights s3:ListBucket, s3:GetObj"):
        artifacts.open_artifacts("s3://lab/soy")


def test_a_read_only_bucket_can_be_read(proxy: Misbehaving, tmp_path: Path) -> None:
    store = artifacts.open_artifacts("s3://readonly")
    assert content(store, "metrics") == b"{}"
    study = optuna.create_study()
    (tmp_path / "file").write_text("x")
    for use in (lambda: artifacts.put_file(store, study, tmp_path / "file"), lambda: check_writable(store)):
        with pytest.raises(StoreFailed, match="cannot write artifact .* to s3://readonly/: access denied"):
            use()
    assert artifacts.list_files(study) == []


def test_sweep_aborts_unfinished_uploads(proxy: Misbehaving, admin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = artifacts.open_artifacts("s3://lab/soy")
    for key in ("soy/weights", "maize/weights"):
        admin.create_multipart_upload(Bucket="lab", Key=key)
    monkeypatch.setattr(s3, "_PARTS_LIFE", timedelta(days=100_000))
    store.sweep()
    assert len(admin.list_multipart_uploads(Bucket="lab")["Uploads"]) == 2
    monkeypatch.setattr(s3, "_PARTS_LIFE", timedelta(days=-1))
    store.sweep()
    assert [upload["Key"] for upload in admin.list_multipart_uploads(Bucket="lab")["Uploads"]] == ["maize/weights"]


def test_errors_of_a_google_bucket_are_retried_and_reported_in_one_line(
    google: Misbehaving, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = artifacts.open_artifacts("gs://lab/soy")
    google.expect("POST", 503)
    store.write("weights", io.BytesIO(b"12345678"))
    assert len(google.requests) == 2 and content(store, "weights") == b"12345678"
    google.expect("GET", 403, 404)
    for message in ("access denied .*Storage Object User", "there is no such bucket"):
        with pytest.raises(StoreFailed, match=f"cannot use gs://lab/soy: {message}"):
            artifacts.open_artifacts("gs://lab/soy")
    monkeypatch.setattr(gcs, "_RETRY_S", 0.1)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with pytest.raises(StoreFailed, match="cannot use gs://lab/soy: .*check the network") as caught:
        artifacts.open_artifacts("gs://lab/soy")
    assert "\n" not in str(caught.value)


# Google's library leaves the connection that broke to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
def test_a_large_google_file_is_read_over_a_connection_that_breaks(google: Misbehaving) -> None:
    store = artifacts.open_artifacts("gs://lab/soy")
    body = os.urandom(9_000_000)
    store.write("weights", io.BytesIO(body))
    google.expect("GET", 503, "cut")
    assert content(store, "weights") == body and len(google.requests) == 3
    gc.collect()


def test_missing_google_credentials_are_reported_in_one_line(
    proxy: Misbehaving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(StoreFailed, match=r"cannot use gs://lab/: .*none\.json.*gcloud auth application-default login"):
        artifacts.open_artifacts("gs://lab")


@pytest.mark.parametrize(
    ("url", "module", "extra"), [("s3://lab", "boto3", "s3"), ("gs://lab", "google.cloud.storage", "gcs")]
)
def test_a_missing_library_is_reported(monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    if extra == "gcs":
        import google.cloud

        monkeypatch.delattr(google.cloud, "storage", raising=False)
    with pytest.raises(UserError, match=rf"pip install 'venation\[{extra}\]'"):
        artifacts.open_artifacts(url)
