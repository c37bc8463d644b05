"""The signature of a bundle, and its check by the keys that a user trusts.

It is the file ``bundle.sig`` beside ``bundle.json``. It covers the record's sha256, and so every
file, because the record has their hashes.
"""

import base64
import json
import os
from pathlib import Path
from types import ModuleType

from ..errors import UserError
from .archive import read_text_file

SIGNATURE = "bundle.sig"
TRUSTED = "VENATION_TRUSTED_KEYS"
_ALGORITHM = "ed25519"


def keys() -> ModuleType:
    """Return the module of keys. Raises UserError if the package it needs is missing."""
    try:
        from . import keys as found
    except ImportError:
        raise UserError('signatures need the package cryptography: run `pip install "venation[sign]"`.') from None
    return found


def signed_message(record_sha256: str) -> bytes:
    """Return what a signature signs."""
    return f"venation bundle {record_sha256}".encode()


def signature_text(public: bytes, signature: bytes) -> str:
    """Return the content of the file of a signature."""
    encoded = {"public_key": public, "signature": signature}
    fields = {name: base64.b64encode(value).decode() for name, value in encoded.items()}
    return json.dumps({"algorithm": _ALGORITHM} | fields, indent=2) + "\n"


def check_signature(bundle: Path, folder: Path, record_sha256: str) -> None:
    """Check the signature of an opened bundle, if ``VENATION_TRUSTED_KEYS`` names keys.

    It is the PEM file of a public key, or a folder of such files that end in .pub or .pem. Raises
    UserError if none of these keys signed the bundle.
    """
    place = os.environ.get(TRUSTED)
    if not place:
        return
    trusted = _trusted(Path(place))
    found = read_signature(bundle, folder)
    if found is None:
        raise UserError(f"`{bundle}` is not signed, and {TRUSTED} is set; its maker can run `venation bundle sign`.")
    public, signature = found
    if public not in trusted:
        raise UserError(
            f"`{bundle}` is signed by {keys().fingerprint(public)}, which is none of the keys in `{place}`; do not"
            " trust it, or add its key there."
        )
    require_valid(bundle, public, signature, record_sha256)


def require_valid(bundle: Path, public: bytes, signature: bytes, record_sha256: str) -> None:
    """Raise UserError for a signature of other files, or of another key."""
    if not keys().is_valid(public, signature, signed_message(record_sha256)):
        raise UserError(f"the signature of `{bundle}` is not of these files; do not trust it.")


def read_signature(bundle: Path, folder: Path) -> tuple[bytes, bytes] | None:
    """Return public key (32 bytes) and signature (64 bytes) of an opened bundle, None without one.

    Raises UserError for a file of another form.
    """
    if not (folder / SIGNATURE).exists():
        return None
    try:
        fields = json.loads(read_text_file(folder / SIGNATURE))
        public, signature = (base64.b64decode(fields[name], validate=True) for name in ("public_key", "signature"))
        if fields["algorithm"] != _ALGORITHM or (len(public), len(signature)) != (32, 64):
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError):
        raise UserError(f"{SIGNATURE} of `{bundle}` is no signature of this version; do not trust it.") from None
    return public, signature


def _trusted(path: Path) -> list[bytes]:
    files = sorted(file for file in path.iterdir() if file.suffix in (".pub", ".pem")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{TRUSTED} names `{path}`, which has no .pub or .pem file; put trusted public keys there.")
    return [keys().read_public(file) for file in files]
