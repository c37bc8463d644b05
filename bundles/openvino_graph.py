"""Run an ONNX graph with OpenVINO, on the CPU; see ``onnx_process.Graph``."""

from pathlib import Path

import numpy as np
import openvino
from numpy.typing import NDArray

from .onnx_process import OUTPUTS, Outputs, checked_graph, unusable


class OpenvinoGraph:
    """An ONNX graph that OpenVINO has loaded.

    Raises UserError if the file is missing, damaged, or refused by ``check_graph``.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._name = path.name
        # Otherwise processors with bfloat16 compute in it, and answer otherwise.
        settings: dict[str, str | int] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        try:
            model = core.read_model(checked_graph(path))
            self._compiled = core.compile_model(model, "CPU", settings)
        except (RuntimeError, OSError, ValueError) as error:
            raise unusable(path.name, error) from None
        self._names = [name for name in OUTPUTS if any(name in output.names for output in self._compiled.outputs)]

    @property
    def any_size(self) -> bool:
        """Tell whether the input's height and width are free."""
        return all(side.is_dynamic for side in list(self._compiled.inputs[0].partial_shape)[2:])

    def run(self, values: NDArray[np.float32]) -> Outputs:
        """Return those of ``OUTPUTS`` that the graph has, for its only input.

        Raises UserError if it is another model's.
        """
        try:
            found = self._compiled([values])
            return {name: found[name].copy() for name in self._names}
        except RuntimeError as error:
            raise unusable(self._name, error) from None
