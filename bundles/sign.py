"""Sign a bundle."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from .archive import pack
from .bundle import load_intact, open_bundle, open_verified
from .signature import SIGNATURE, keys, read_signature, require_valid, signature_text, signed_message


def sign_bundle(bundle: Path, key: Path) -> str:
    """Sign a bundle, a folder or a .zip, with the private key of a file; return its fingerprint.

    An earlier signature is replaced. Raises UserError if the bundle is damaged, the key is none, or
    the signature cannot be written; the bundle is then as before.
    """
    with open_verified(bundle, signed=False) as (folder, record):
        public, signature = keys().sign(key, signed_message(record.record_sha256))
        text = signature_text(public, signature)
        try:
            if bundle.is_dir():
                _replace(folder / SIGNATURE, lambda aside: aside.write_text(text))
            else:
                (folder / SIGNATURE).write_text(text)
                _replace(bundle, lambda aside: pack(folder, aside))
        except OSError as error:
            raise UserError(f"cannot write the signature of `{bundle}` ({error.strerror}); it is as before.") from None
    return str(keys().fingerprint(public))


def check_key(key: Path) -> None:
    """Raise UserError unless a file has a private key that can sign."""
    keys().sign(key, b"")


def signer(bundle: Path) -> str | None:
    """Return the fingerprint of the key that signed a bundle; None without a signature.

    Anyone can sign; only ``check_signature`` says whether a key is trusted. Raises UserError for a
    signature of other files, and if the package for keys is missing.
    """
    with open_bundle(bundle) as folder:
        found = read_signature(bundle, folder)
        if found is None:
            return None
        require_valid(bundle, *found, load_intact(bundle, folder).record_sha256)
    return str(keys().fingerprint(found[0]))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as aside:
        write(Path(aside) / path.name)
        os.replace(Path(aside) / path.name, path)
