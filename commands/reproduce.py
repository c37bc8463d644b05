"""`venation reproduce`: train a trial again and compare."""

from typing import Annotated

import typer

from .bars import shown_progress
from .groups import examples
from .shared import (
    ArtifactsUrl,
    AsJson,
    DataOverride,
    Device,
    StorageUrl,
    StudyName,
    TrialNumber,
    open_both,
    print_result,
)

REPRODUCE_EXAMPLES = examples("reproduce soy 3", "reproduce soy 3 --threads 1 --json")


def reproduce(
    study: StudyName,
    number: TrialNumber,
    data: DataOverride = None,
    device: Device = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Number of threads of torch; 1 gives equal bits.")] = 1,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Train a trial again from its recorded config, data and seeds, and compare the results.

    On a CPU with one thread, in training and now, weights and metrics are equal to the last bit.
    The exit code is 1 if anything differs; one line says what and why. The study is not changed.
    """
    import torch

    from ..studies.context import open_context
    from ..studies.registry import open_study
    from ..workers.reproduce import reproduce as train_again

    database, store = open_both(storage, artifacts)
    torch.set_num_threads(threads)
    with shown_progress():
        found = train_again(open_context(open_study(database, study), store, device=device, data=data), number)
    if as_json:
        print_result(found.record(), as_json=True)
    else:
        typer.echo(found.sentence())
    if not found.exact:
        raise typer.Exit(1)
