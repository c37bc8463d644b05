"""An artifact store in a bucket of S3 or a compatible store (MinIO, Ceph, Garage, R2).

Optuna's own Boto3ArtifactStore has no prefix, copies every file through memory, returns connections
that can break half-way through a file, and does not report a removed file that did not exist.

boto3 finds the credentials, the region and the endpoint: ``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``,
``AWS_ENDPOINT_URL`` and so on. botocore (retry mode "standard") retries transient errors with
exponential back-off: 5 attempts in all, or ``AWS_MAX_ATTEMPTS``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from optuna.artifacts.exceptions import ArtifactNotFound

from ..errors import UserError
from .store_protocol import Entry, StoreFailed, check_id, disk_errors, download, one_line, upload_file

_ATTEMPTS = 5
_CONNECT_S = 5
_READ_S = 20
_PARTS_LIFE = timedelta(days=1)
_RIGHTS = "s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"


class S3Store:
    """An artifact store of the objects ``prefix/ID`` of a bucket, which are replaced atomically."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self.url = f"s3://{bucket}/{prefix}"

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Download the whole object; a broken connection is resumed.

        Raises Optuna's ArtifactNotFound, and StoreFailed.
        """
        key = self._key(artifact_id)
        with self._errors("read", artifact_id), disk_errors(f"keep a copy of artifact {artifact_id}"):
            return download(lambda copy: self._client.download_fileobj(self._bucket, key, copy))

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store all of ``content_body``, which boto3 may close afterwards. Raises StoreFailed."""
        key = self._key(artifact_id)
        with _s3_errors(f"write artifact {artifact_id} to {self.url}"):
            self._client.upload_fileobj(content_body, self._bucket, key)

    def link(self, artifact_id: str, path: Path) -> None:
        """Store a copy of the file ``path``. Raises StoreFailed."""
        upload_file(self, artifact_id, path)

    def remove(self, artifact_id: str) -> None:
        """Delete a file. Raises Optuna's ArtifactNotFound, and StoreFailed."""
        key = self._key(artifact_id)
        with self._errors("remove", artifact_id):
            # S3 reports no error for a missing object.
            self._client.head_object(Bucket=self._bucket, Key=key)
            self._client.delete_object(Bucket=self._bucket, Key=key)

    def entries(self) -> Iterator[Entry]:
        """Yield all files directly under the prefix, 1000 for each request. Raises StoreFailed."""
        pages = self._client.get_paginator("list_objects_v2")
        with _s3_errors(f"list {self.url}"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"):
                for found in page.get("Contents", ()):
                    name = found["Key"].removeprefix(self._prefix)
                    if name:
                        yield Entry(name, found["Size"], found["LastModified"].timestamp())

    def sweep(self) -> None:
        """Abort multipart uploads older than a day: their parts cost money and are not listed."""
        oldest = datetime.now(UTC) - _PARTS_LIFE
        pages = self._client.get_paginator("list_multipart_uploads")
        with _s3_errors(f"list the unfinished uploads of {self.url}"):
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < oldest:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )

    def check(self) -> None:
        """Raise StoreFailed if the bucket does not exist, does not answer, or may not be listed."""
        with _s3_errors(f"use {self.url}"):
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)

    def _key(self, artifact_id: str) -> str:
        return self._prefix + check_id(artifact_id)

    @contextmanager
    def _errors(self, verb: str, artifact_id: str) -> Iterator[None]:
        """Translate errors as ``_s3_errors`` does, and a missing object to ArtifactNotFound."""
        from botocore.exceptions import ClientError

        with _s3_errors(f"{verb} artifact {artifact_id} of {self.url}"):
            try:
                yield
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    self.check()  # raises StoreFailed if the bucket itself is missing
                    raise ArtifactNotFound(f"no artifact {artifact_id} in {self.url}") from None
                raise


def open_s3(bucket: str, prefix: str) -> S3Store:
    """Open the existing store ``s3://bucket/prefix``.

    Raises UserError if boto3 is not installed, StoreFailed if the bucket cannot be used.
    """
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise UserError("artifacts on S3 need boto3; install it with `pip install 'venation[s3]'`") from None
    retries: dict[str, Any] = {"mode": "standard"}
    if "AWS_MAX_ATTEMPTS" not in os.environ:
        retries["total_max_attempts"] = _ATTEMPTS
    config = Config(connect_timeout=_CONNECT_S, read_timeout=_READ_S, retries=retries, tcp_keepalive=True)
    with _s3_errors(f"use s3://{bucket}/{prefix}"):
        store = S3Store(boto3.Session().client("s3", config=config), bucket, prefix)
    store.check()
    return store


@contextmanager
def _s3_errors(action: str) -> Iterator[None]:
    """Turn errors of boto3 into StoreFailed with a one-line message."""
    from boto3.exceptions import Boto3Error
    from boto3.s3.transfer import S3TransferRetriesExceededError
    from botocore import exceptions as botocore

    try:
        yield
    except UserError:
        raise
    except botocore.ClientError as error:
        reason = _explain(error)
    except (botocore.NoCredentialsError, botocore.PartialCredentialsError, botocore.ProfileNotFound) as error:
        reason = f"{one_line(error)}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    except (botocore.HTTPClientError, botocore.ConnectionError, S3TransferRetriesExceededError) as error:
        reason = f"{one_line(error)}; check the network, the store and AWS_ENDPOINT_URL"
    except botocore.ParamValidationError:
        reason = "this is not a valid bucket name; correct --artifacts"
    except (botocore.BotoCoreError, Boto3Error, ValueError) as error:
        reason = f"{one_line(error)}; correct --artifacts or the AWS settings of this machine"
    else:
        return
    raise StoreFailed(f"cannot {action}: {reason}")


def _explain(error: Any) -> str:
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if code == "NoSuchBucket" or status == 404:
        return "there is no such bucket; create it, or correct --artifacts"
    if status in (401, 403):
        return f"access denied ({code}); give other credentials, or these the rights {_RIGHTS}"
    if status in (301, 307, 400) and "Region" in str(error) + code:
        return "the bucket is in another region; set AWS_DEFAULT_REGION"
    if status == 507 or code in ("XMinioStorageFull", "QuotaExceeded"):
        return f"the store is full ({code}); free space there, or give another store with --artifacts"
    return f"the store answers {status} ({code}); try again, or check the store"
