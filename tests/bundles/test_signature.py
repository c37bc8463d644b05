"""Signatures of bundles, checked by openssl's form of keys and by cryptography itself."""

import base64
import json
import shutil
import stat
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_public_key,
)
from typer.testing import CliRunner

from venation.bundles.archive import pack
from venation.bundles.bundle import open_verified
from venation.bundles.keys import fingerprint, make_key
from venation.bundles.record import RECORD
from venation.bundles.sign import sign_bundle, signer
from venation.bundles.signature import SIGNATURE, TRUSTED
from venation.cli import app
from venation.errors import UserError


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key(tmp_path / "lab.key")
    return tmp_path / "lab.key"


def public_of(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")


def test_a_key_is_private_and_made_once(key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(UserError, match=r"lab\.key\.pub` exists; choose another path"):
        make_key(key)
    public_of(key).unlink()
    with pytest.raises(UserError, match=r"cannot write the key `.*lab\.key` \(File exists\)"):
        make_key(key)


def test_the_signature_is_ed25519_of_the_record(copied: Path, key: Path) -> None:
    said = sign_bundle(copied, key)
    fields = json.loads((copied / SIGNATURE).read_text())
    public = load_pem_public_key(public_of(key).read_bytes())
    raw = public.public_bytes_raw()  # type: ignore[union-attr]
    assert (fields["algorithm"], base64.b64decode(fields["public_key"])) == ("ed25519", raw)
    assert said == fingerprint(raw) == signer(copied)
    digest = json.loads((copied / RECORD).read_text())["record_sha256"]
    signature = base64.b64decode(fields["signature"])
    public.verify(signature, f"venation bundle {digest}".encode())  # type: ignore[union-attr, call-arg]
    with pytest.raises(InvalidSignature):
        public.verify(signature, b"venation bundle 0")  # type: ignore[union-attr, call-arg]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("zipped", [False, True], ids=["bundle", "zip"])
def test_a_trusted_key_opens_the_bundle_and_no_other(
    copied: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool, zipped: bool
) -> None:
    bundle = pack(copied, tmp_path / "soy.zip") if zipped else copied
    place = public_of(key)
    if folder:
        place = tmp_path / "trusted"
        place.mkdir()
        shutil.copy(public_of(key), place)
        (place / "notes.txt").write_text("no key")
    monkeypatch.setenv(TRUSTED, str(place))
    with pytest.raises(UserError, match="is not signed, and VENATION_TRUSTED_KEYS is set"), open_verified(bundle):
        pytest.fail("a bundle without a signature was opened")
    sign_bundle(bundle, key)
    with open_verified(bundle) as (_, record):
        assert record.classes
    make_key(tmp_path / "other.key")
    sign_bundle(bundle, tmp_path / "other.key")
    with pytest.raises(UserError, match="is signed by SHA256:.*, which is none of the keys in"), open_verified(bundle):
        pytest.fail("a bundle of another key was opened")


def test_a_signature_of_other_files_is_refused(
    copied: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that was changed together with its hash has the signature of the former one."""
    sign_bundle(copied, key)
    from venation.bundles.bundle import load_record, write_record

    changed = load_record(copied).model_copy(update={"licence": "mine"})
    write_record(copied, changed)
    with open_verified(copied):
        pass
    with pytest.raises(UserError, match="the signature of `.*` is not of these files"):
        signer(copied)
    monkeypatch.setenv(TRUSTED, str(public_of(key)))
    with pytest.raises(UserError, match="the signature of `.*` is not of these files"), open_verified(copied):
        pytest.fail("a forged bundle was opened")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"\xff", b'{"algorithm": "ed25519", "public_key": "AA==", "signature": "AA=="}', b"[" * 9999],
)
def test_a_file_that_is_no_signature_is_refused(
    copied: Path, key: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (copied / SIGNATURE).write_bytes(content)
    monkeypatch.setenv(TRUSTED, str(public_of(key)))
    with pytest.raises(UserError, match=r"bundle\.sig of `.*` is no signature of this version"), open_verified(copied):
        pytest.fail("a damaged signature was accepted")


def test_other_keys_are_refused_in_one_line(
    copied: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    locked = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    for content in (curve, locked, b"no key", public_of(key).read_bytes()):
        (tmp_path / "bad.pem").write_bytes(content)
        with pytest.raises(UserError, match="is no private ed25519 key in PEM without a password"):
            sign_bundle(copied, tmp_path / "bad.pem")
    with pytest.raises(UserError, match=r"cannot read the key `.*gone` \(No such file"):
        sign_bundle(copied, tmp_path / "gone")
    assert not (copied / SIGNATURE).exists()
    empty = tmp_path / "empty"
    empty.mkdir()
    for place, says in (
        (key, "is no public ed25519 key"),
        (empty, "has no .pub or .pem file"),
        (tmp_path / "no", "cannot read"),
    ):
        monkeypatch.setenv(TRUSTED, str(place))
        with pytest.raises(UserError, match=says), open_verified(copied):
            pytest.fail("a bundle was opened without a trusted key")


def test_the_commands_make_a_key_sign_and_show_the_signer(copied: Path, tmp_path: Path) -> None:
    run = CliRunner()
    made = run.invoke(app, ["bundle", "key", str(tmp_path / "my.key")])
    assert made.exit_code == 0, made.output
    assert made.stdout.strip() == str(tmp_path / "my.key.pub")
    signed = run.invoke(app, ["bundle", "sign", str(copied), "--key", str(tmp_path / "my.key")])
    assert signed.exit_code == 0, signed.output
    shown = run.invoke(app, ["bundle", "show", str(copied)])
    assert signed.stdout.strip().split()[-1] in shown.stdout.replace("\n", "").replace(" ", "") + shown.stdout
