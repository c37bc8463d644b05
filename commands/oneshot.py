"""`venation study oneshot`: did the supernet's ranking find anything?"""

import typer

from .shared import AsJson, StorageUrl, StudyName, open_named_study, print_result


def study_oneshot(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Compare what a supernet ranked best, trained alone, with random points, the cheapest one and the noise."""
    from ..insight.oneshot_verdict import judge_oneshot

    verdict = judge_oneshot(open_named_study(storage, study))
    if as_json:
        print_result(verdict.record(), as_json=True)
        return
    print_result(verdict.rows(), as_json=False)
    typer.echo(f"\n{verdict.text}")
