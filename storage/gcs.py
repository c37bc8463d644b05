"""An artifact store in a bucket of Google Cloud Storage.

Optuna's own GCSArtifactStore has no prefix, reads every file into memory, and warns that it is
experimental.

Google's library finds the credentials and the project (``gcloud auth application-default login``,
``GOOGLE_APPLICATION_CREDENTIALS``, the machine's account), and an emulator by
``STORAGE_EMULATOR_HOST``. It retries transient errors with exponential back-off for a minute.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from optuna.artifacts.exceptions import ArtifactNotFound

from ..errors import UserError
from .store_protocol import Entry, StoreFailed, check_id, download, one_line, upload_file

_RETRY_S = 60.0
_TIMEOUT_S = (5, 20)  # to connect, to wait for an answer


class GcsStore:
    """An artifact store of the objects ``prefix/ID`` of a bucket, which are replaced atomically."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        from google.cloud.storage.retry import DEFAULT_RETRY

        self._client = client
        self._bucket = client.bucket(bucket)
        self._prefix = f"{prefix}/" if prefix else ""
        # All requests here may be repeated.
        self._how: dict[str, Any] = {"timeout": _TIMEOUT_S, "retry": DEFAULT_RETRY.with_timeout(_RETRY_S)}
        self.url = f"gs://{bucket}/{prefix}"

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Download the whole object and verify its checksum.

        Raises Optuna's ArtifactNotFound, and StoreFailed.
        """
        blob = self._blob(artifact_id)
        with self._errors("read", artifact_id):
            return download(lambda copy: blob.download_to_file(copy, **self._how))

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Store ``content_body`` from its current position. Raises StoreFailed."""
        blob = self._blob(artifact_id)
        start = content_body.tell()
        size = content_body.seek(0, os.SEEK_END) - start
        content_body.seek(start)
        with _gcs_errors(f"write artifact {artifact_id} to {self.url}"):
            blob.upload_from_file(content_body, size=size, content_type="application/octet-stream", **self._how)

    def link(self, artifact_id: str, path: Path) -> None:
        """Store a copy of the file ``path``. Raises StoreFailed."""
        upload_file(self, artifact_id, path)

    def remove(self, artifact_id: str) -> None:
        """Delete a file. Raises Optuna's ArtifactNotFound, and StoreFailed."""
        blob = self._blob(artifact_id)
        with self._errors("remove", artifact_id):
            blob.delete(**self._how)

    def entries(self) -> Iterator[Entry]:
        """Yield all files directly under the prefix. Raises StoreFailed."""
        with _gcs_errors(f"list {self.url}"):
            for blob in self._client.list_blobs(self._bucket, prefix=self._prefix, delimiter="/", **self._how):
                name = blob.name.removeprefix(self._prefix)
                if name:
                    yield Entry(name, blob.size, blob.updated.timestamp())

    def sweep(self) -> None:
        """Do nothing: Google drops an unfinished upload after a week, without charge."""

    def check(self) -> None:
        """Raise StoreFailed if the bucket does not exist, does not answer, or may not be listed."""
        with _gcs_errors(f"use {self.url}"):
            for _ in self._client.list_blobs(self._bucket, prefix=self._prefix, max_results=1, **self._how):
                break

    def _blob(self, artifact_id: str) -> Any:
        return self._bucket.blob(self._prefix + check_id(artifact_id))

    @contextmanager
    def _errors(self, verb: str, artifact_id: str) -> Iterator[None]:
        """Translate errors as ``_gcs_errors`` does, and a missing object to ArtifactNotFound."""
        from google.api_core.exceptions import NotFound

        with _gcs_errors(f"{verb} artifact {artifact_id} of {self.url}"):
            try:
                yield
            except NotFound:
                self.check()  # raises StoreFailed if the bucket itself is missing
                raise ArtifactNotFound(f"no artifact {artifact_id} in {self.url}") from None


def open_gcs(bucket: str, prefix: str) -> GcsStore:
    """Open the existing store ``gs://bucket/prefix``.

    Raises UserError if the library is not installed, StoreFailed if the bucket cannot be used.
    """
    try:
        from google.cloud import storage
    except ModuleNotFoundError:
        raise UserError(
            "artifacts on Google Cloud Storage need google-cloud-storage; install it with `pip install 'venation[gcs]'`"
        ) from None
    with _gcs_errors(f"use gs://{bucket}/{prefix}"):
        store = GcsStore(storage.Client(), bucket, prefix)
    store.check()
    return store


@contextmanager
def _gcs_errors(action: str) -> Iterator[None]:
    """Turn errors of Google's library into StoreFailed with a one-line message."""
    from google.api_core import exceptions as api
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
    from requests import RequestException

    try:
        yield
    except UserError:
        raise
    except api.NotFound:
        reason = "there is no such bucket; create it, or correct --artifacts"
    except (api.Forbidden, api.Unauthorized) as error:
        reason = f"access denied ({error.code}); give the account the role Storage Object User on the bucket"
    except (DefaultCredentialsError, GoogleAuthError) as error:
        reason = f"{one_line(error)}; run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS"
    except (api.RetryError, RequestException, DataCorruption, InvalidResponse) as error:
        reason = f"{one_line(error)}; check the network and the store"
    except OSError as error:
        reason = f"{one_line(error)}; free space in the folder of temporary files"
    except (api.GoogleAPIError, ValueError) as error:
        reason = f"{one_line(error)}; correct --artifacts or the settings of this machine"
    else:
        return
    raise StoreFailed(f"cannot {action}: {reason}")
