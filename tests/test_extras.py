"""The optional dependencies of pyproject.toml bring what their commands import."""

import tomllib
from pathlib import Path

EXTRAS = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def test_a_job_of_slurm_runs_a_worker() -> None:
    assert "venation[search]" in EXTRAS["slurm"]


def test_trackers_bring_a_worker_and_their_client() -> None:
    assert {"venation[search]", "mlflow-skinny>=3.1"} == set(EXTRAS["mlflow"])
    assert {"venation[search]", "wandb>=0.21"} == set(EXTRAS["wandb"])


def test_the_extra_of_serve_brings_a_server_and_no_torch() -> None:
    # tests/cli/test_serve_without_torch.py serves with these and the light installation.
    names = {name.partition(">")[0] for name in EXTRAS["serve"]}
    assert names == {"fastapi", "prometheus-client", "python-multipart", "uvicorn"}
