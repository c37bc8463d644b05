"""Hostile inputs for every reader: a few of each kind, and those that once broke one."""

from pathlib import Path

import pytest
from fuzzing.attempt import Fault, Kind, attempt
from fuzzing.kinds import KINDS
from hypothesis import HealthCheck, Phase, given, settings

from venation.errors import UserError

# Torch, tifffile and Pillow warn of odd files; in the commands these warnings are off.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("name", KINDS)
def test_every_answer_is_a_result_or_one_line(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    assert all(attempt(kind, content, tmp_path) for content in kind.seeds)

    @settings(
        max_examples=kind.few,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(kind.inputs)
    def run(content: bytes) -> None:
        attempt(kind, content, tmp_path)

    run()


LAUGHS = b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b"*a%d, " % (n - 1) * 9) for n in range(1, 9))
(CVAT,), (LABEL_STUDIO,) = KINDS["CVAT"].seeds, KINDS["Label Studio"].seeds
# Inputs that broke a reader, by kind.
FOUND: dict[str, list[bytes]] = {
    "image": [
        b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (16, 24, 5 " + b" " * 60 + b"\n"
    ],
    "COCO": [b'{"images": [{"id": ' + b"9" * 5000 + b"}]}"],
    "CVAT": [CVAT.replace(b'left="3"', b'left="1e999"')],
    "Label Studio": [
        b'[{"id": 0, "data": {}, "annotations": [{"result": []}]}]',
        LABEL_STUDIO.replace(b'"original_width": 20', b'"original_width": 1e999'),
        LABEL_STUDIO.replace(b'"rle": [', b'"rle": [-1, '),
        LABEL_STUDIO.replace(b'"rle": [', b'"rle": [{}, '),
        LABEL_STUDIO.replace(b'"rle": [', b'"rle": [[], '),
    ],
    "mask_classes.csv": [b"value,name\n" + b"9" * 5000 + b",vein\n"],
    "setting (--set)": [b"\xffdata\nsize=64"],
    "metadata.csv": [b"file_name,label\n,ash\n", b'file_name,label\n"' + b"a\n" * 100_000],
    "UFG: train.csv": [b'image,label\n"' + b"a\n" * 100_000],
    "YOLO: data.yaml": [
        b"names: !!int abc",
        b"names: " + b"[" * 3000,
        b"names: {0: !!timestamp 99}",
        b"names: &a [*a]",
        LAUGHS,
    ],
}


@pytest.mark.parametrize(("name", "content"), [(name, each) for name, found in FOUND.items() for each in found])
def test_what_broke_a_reader_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    assert attempt(KINDS[name], content, tmp_path) is False


def _writes_outside(_content: bytes, folder: Path) -> None:
    (folder.parent.parent / "outside").write_text("x")


def _leaves_a_file(_content: bytes, folder: Path) -> None:
    (folder.parent / "tmp" / "left").write_text("x")


def _says_two_lines(_content: bytes, _folder: Path) -> None:
    raise UserError("one\ntwo")


def _runs_a_program(_content: bytes, _folder: Path) -> None:
    import subprocess

    subprocess.run(["true"], check=True)


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (_writes_outside, "it did open of .*outside"),
        (_leaves_a_file, "it left .'left'"),
        (_says_two_lines, "more than one line"),
        (_runs_a_program, "it did subprocess.Popen"),
    ],
)
def test_what_a_reader_must_not_do_is_a_fault(read: object, says: str, tmp_path: Path) -> None:
    kind = Kind("bad", list, lambda seeds: seeds, read, share=1)
    with pytest.raises(Fault, match=says):
        attempt(kind, b"", tmp_path / "work")


@pytest.mark.slow
def test_a_crash_and_its_input_are_kept(tmp_path: Path) -> None:
    import json
    import subprocess
    import sys

    script = Path(__file__).parents[1] / "benchmarks" / "fuzz.py"
    code = f"""
import os, sys
sys.argv = ["fuzz.py"]
sys.path[:0] = [{str(script.parent)!r}]
import fuzz
from fuzzing.attempt import Kind
from hypothesis import strategies as st
from pathlib import Path
def read(content, folder):
    if content:
        os.abort()
kind = Kind("crash", lambda: [], lambda _: st.binary(), read, share=1)
print(__import__("json").dumps(fuzz.run_apart(kind, 0, 50, Path({str(tmp_path)!r}))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts["faults"] == 1 and counts["inputs"] == counts["accepted"] + 1
    (case,) = tmp_path.glob("faults/crash/*/*.bin")
    assert case.read_bytes() and "-6: the process ended" in case.with_suffix(".txt").read_text()
