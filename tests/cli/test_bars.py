"""The progress of commands: bars on a terminal, lines in a pipe."""

import io
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from venation.commands.bars import LinePrinter, StderrHandler
from venation.data.progress import Step
from venation.data.synthetic import write_leaves


def on_terminal(*words: object) -> str:
    """Run ``venation WORDS`` with a terminal as its stderr, and return what it printed there."""
    own, other = pty.openpty()
    command = [sys.executable, "-m", "venation.cli", *map(str, words)]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=other, env=environment) as process:
        os.close(other)
        printed = b""
        try:
            while chunk := os.read(own, 4096):
                printed += chunk
        except OSError:  # the end of a terminal on Linux
            pass
        assert process.wait() == 0, printed
    os.close(own)
    return printed.decode()


def test_a_terminal_gets_a_bar_and_a_pipe_does_not(tmp_path: Path) -> None:
    write_leaves(tmp_path / "leaves", classes=2, images=4, size=32, seed=0)
    shown = on_terminal("data", "check", tmp_path / "leaves")
    assert "checking images" in shown and "8/8" in shown and "0 errors, 0 warnings" in shown
    piped = subprocess.run(
        [sys.executable, "-m", "venation.cli", "data", "check", tmp_path / "leaves"], capture_output=True, text=True
    )
    assert piped.stderr == "0 errors, 0 warnings\n" and piped.returncode == 0


def test_a_pipe_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    for seconds in (0.0, 1000.0):
        show = LinePrinter(seconds)
        for done in range(4):
            show(Step("predicting", done, 3))
    assert capsys.readouterr().err.splitlines() == ["predicting: 1 of 3", "predicting: 2 of 3"]


def test_work_goes_on_if_the_reader_of_its_lines_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with io.TextIOWrapper(io.FileIO(write, "w"), write_through=True) as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        LinePrinter(0.0)(Step("training", 1, 3))


def test_remarks_of_other_libraries_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    handler = StderrHandler()
    for name in ("root", "onnxruntime.quantization", "venation.studies.export", "venationary"):
        for level in (logging.INFO, logging.WARNING):
            record = logging.LogRecord(name, level, __file__, 1, f"{name} {level}", None, None)
            handler.handle(record)
    ours = ["venation.studies.export 20", "venation.studies.export 30"]
    assert capsys.readouterr().err.splitlines() == ["root 30", "onnxruntime.quantization 30", *ours, "venationary 30"]
