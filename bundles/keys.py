"""Ed25519 keys in PEM files, as openssl writes them. Needs the extra ``sign``."""

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from ..errors import UserError

_KEY_BYTES = 1 << 16


def make_key(path: Path) -> Path:
    """Write a new private key to ``path``, readable by its owner alone, and return PATH.pub.

    That file has the public key, to give to those who check signatures. Raises UserError if one of
    the files exists or cannot be written.
    """
    key, public = Ed25519PrivateKey.generate(), path.with_name(f"{path.name}.pub")
    if public.exists():
        raise UserError(f"the key `{public}` exists; choose another path.")
    private_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for file, content, mode in ((path, private_pem, 0o600), (public, public_pem, 0o644)):
        try:
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as opened:
                opened.write(content)
        except OSError as error:
            raise UserError(f"cannot write the key `{file}` ({error.strerror}); choose another path.") from None
    return public


def sign(path: Path, message: bytes) -> tuple[bytes, bytes]:
    """Return the public key (32 bytes) of a private key's file, and its signature of ``message``.

    The signature has 64 bytes. Raises UserError if the file is no private ed25519 key.
    """
    key = _load(path, lambda pem: load_pem_private_key(pem, None))
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError(
            f"`{path}` is no private ed25519 key in PEM without a password; `venation bundle key` makes one."
        )
    return key.public_key().public_bytes_raw(), key.sign(message)


def read_public(path: Path) -> bytes:
    """Return the 32 bytes of a public key's file. Raises UserError if it is none of ed25519."""
    key = _load(path, load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(f"`{path}` is no public ed25519 key in PEM; `venation bundle key` makes one.")
    return key.public_bytes_raw()


def is_valid(public: bytes, signature: bytes, message: bytes) -> bool:
    """Return whether the owner of a public key signed ``message``."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def fingerprint(public: bytes) -> str:
    """Return the sha256 of a public key, in the form of ssh: ``SHA256:`` and base64."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")


def _load(path: Path, load: Callable[[bytes], object]) -> object:
    try:
        with path.open("rb") as file:
            return load(file.read(_KEY_BYTES))
    except OSError as error:
        raise UserError(f"cannot read the key `{path}` ({error.strerror}).") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
