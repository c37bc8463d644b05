"""A process whose clock a file steps, forwards and backwards, while it runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from venation.chaos.clock import faketime_environment, faketime_library, set_clock_offset

ASK = "import sys, time\nfor line in sys.stdin: print(time.time(), time.monotonic(), flush=True)"


@pytest.mark.skipif(faketime_library() is None, reason="libfaketime is not installed")
def test_a_step_moves_the_wall_clock_and_not_the_monotonic_one(tmp_path: Path) -> None:
    library, clock = faketime_library(), tmp_path / "clock"
    assert library is not None
    set_clock_offset(clock, 0)
    environment = os.environ | faketime_environment(library, clock)
    with subprocess.Popen(
        [sys.executable, "-c", ASK], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for offset in (0, 86400, -3600, 0):
            set_clock_offset(clock, offset)
            process.stdin.write("\n")
            process.stdin.flush()
            wall, monotonic = map(float, process.stdout.readline().split())
            assert wall - time.time() == pytest.approx(offset, abs=30)
            assert monotonic == pytest.approx(time.monotonic(), abs=30)
        process.stdin.close()
