"""Run the tutorial notebook and store its outputs in it: ``python docs/tutorial/run.py``."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("python.ipynb")


def run(folder: Path, parameters: Mapping[str, object] | None = None) -> nbformat.NotebookNode:
    """Return the notebook with the outputs of a run in ``folder``.

    ``parameters`` replace those of the cell with the tag ``parameters``.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells if parameters is not None else []:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=600, startup_timeout=300, kernel_name="python3", resources=where)
    return client.execute()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        done = run(Path(scratch))
    for cell in done.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # Warnings name folders of this machine.
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(done, NOTEBOOK)
