"""Run an ONNX graph, here or in a process of its own with bounds on time and memory.

A graph is a program: a forged one may take long or ask for all memory; loops are refused. Only
NumPy and onnxruntime are imported.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as onnx_errors

from ..errors import UserError
from .onnx_check import MAX_BYTES, check_graph

INPUT = "image"
OUTPUTS = ("probabilities", "features", "mask", "mask_logits")

# The bounds of ``run_apart``. Memory is address space, beyond what the libraries take: on a machine
# of many cores that is several GiB.
SECONDS = 300
_BASE_BYTES = 4 << 30
_BYTES_PER_BYTE = 4  # of the graph's file: its weights are copied and laid out

# The errors of onnxruntime for a file that it cannot load or run; the classes have no common base
# class.
_ERRORS = (
    onnx_errors.Fail,
    onnx_errors.InvalidArgument,
    onnx_errors.InvalidGraph,
    onnx_errors.InvalidProtobuf,
    onnx_errors.NoSuchFile,
    onnx_errors.NotImplemented,
    onnx_errors.RuntimeException,
    MemoryError,
    OSError,
    ValueError,
)

Outputs = dict[str, NDArray[np.float32]]


class Graph:
    """An ONNX graph that onnxruntime has loaded, on the CPU.

    Raises UserError if the file is missing, damaged, or refused by ``check_graph``.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._name = path.name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        try:
            content = checked_graph(path)
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except _ERRORS as error:
            raise unusable(path.name, error) from None
        present = [output.name for output in self._session.get_outputs()]
        self._names = [name for name in OUTPUTS if name in present]
        self._inputs = [given.name for given in self._session.get_inputs()]

    @property
    def any_size(self) -> bool:
        """Tell whether the input's height and width are free."""
        return not any(isinstance(side, int) for side in self._session.get_inputs()[0].shape[2:])

    def run(self, values: NDArray[np.float32]) -> Outputs:
        """Return those of ``OUTPUTS`` that the graph has, for its only input.

        Raises UserError if it is another model's.
        """
        try:
            given = dict.fromkeys(self._inputs, values)
            found = dict(zip(self._names, self._session.run(self._names, given) if self._names else [], strict=True))
        except _ERRORS as error:
            raise unusable(self._name, error) from None
        if not all(isinstance(value, np.ndarray) and value.dtype == np.float32 for value in found.values()):
            raise UserError(f"{self._name} has outputs of another type than float32; export the bundle again.")
        return found


def checked_graph(path: Path) -> bytes:
    """Return the content of an ONNX file, which finds no files beside it when it is loaded.

    Raises OSError, and ValueError if ``check_graph`` refuses it or it is too large.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("it is larger than 2 GiB")
    content = path.read_bytes()
    check_graph(content)
    return content


def unusable(name: str, error: BaseException) -> UserError:
    """Return the error for a graph that cannot be loaded or run, in one line."""
    reason = " ".join(str(error).split())[:500]
    return UserError(f"{name} cannot be run ({reason}); export the bundle again.")


def run_here(path: Path, values: NDArray[np.float32], threads: int) -> Outputs:
    """Return those of ``OUTPUTS`` that the graph has; raise UserError as ``Graph`` does."""
    return Graph(path, threads).run(values)


def run_apart(path: Path, image_BCHW: NDArray[np.float32], threads: int) -> Outputs:
    """Return what ``run_here`` does, from a process of its own with bounds on time and memory."""
    with tempfile.TemporaryDirectory(prefix="venation-onnx-") as folder:
        source, result = Path(folder) / "image.npy", Path(folder) / "outputs.npz"
        np.save(source, image_BCHW)
        # -P: a module in the working folder, which may be a stranger's, takes no name of a library.
        command = [sys.executable, "-P", "-m", f"{__package__}.onnx_process", path, source, result, threads]
        try:
            done = subprocess.run(list(map(str, command)), capture_output=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            raise UserError(f"{path.name} did not answer within {SECONDS} s; do not trust this bundle.") from None
        if done.returncode or not result.exists():
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = lines[-1] if done.returncode == UserError.exit_code and lines else f"ended by {done.returncode}"
            raise UserError(f"{path.name} cannot be run ({reason}); export the bundle again.")
        with np.load(result, allow_pickle=False) as outputs:
            return dict(outputs)


def _limit_memory(more: int) -> None:
    """Let this process take ``more`` bytes of address space than it has."""
    import resource

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + more
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (size if hard == resource.RLIM_INFINITY else min(size, hard), hard))


def main(path: Path, source: Path, result: Path, threads: int) -> None:
    """Run one graph within the bound on memory, and write its outputs."""
    if sys.platform == "linux":  # elsewhere address space cannot be limited
        _limit_memory(_BASE_BYTES + _BYTES_PER_BYTE * path.stat().st_size)
    try:
        np.savez(result, **run_here(path, np.load(source, allow_pickle=False), threads))  # type: ignore[arg-type]
    except UserError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
