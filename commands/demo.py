"""`venation demo`: the main flow on generated leaves."""

from pathlib import Path
from typing import Annotated

import typer

from .shared import ArtifactsUrl, StorageUrl


def demo(
    workers: Annotated[int, typer.Option(min=1, help="Number of worker processes.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for the leaves, the bundle and the predictions.")] = Path(
        "venation-demo"
    ),
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Run the main flow on generated leaves: three studies, a bundle, a prediction."""
    from .demo_flow import run_demo

    run_demo(workers=workers, out=out, storage=storage, artifacts=artifacts)
