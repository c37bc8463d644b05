"""`venation artifacts`: verify the files of trials, and remove those that are not needed."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .groups import new_group
from .shared import ArtifactsUrl, AsJson, StorageUrl, open_both, print_result

if TYPE_CHECKING:
    from ..storage.records import Record
    from ..upkeep.gc import GcResult
    from ..upkeep.orphans import Orphan

app = new_group("Verify the files of trials, and remove those that are not needed.")

MinAge = Annotated[
    float,
    typer.Option(
        min=0,
        metavar="HOURS",
        help="Ignore unrecorded files younger than this; files of running uploads count as young for an hour at least.",
    ),
]


@app.command("verify")
def artifacts_verify(
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY]", help="Names of studies [default: all].")
    ] = None,
    min_age: MinAge = 24.0,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Read every recorded file and compare its hash; exit 1 if one is missing or damaged."""
    from ..storage.sizes import format_size
    from ..upkeep.orphans import verify_store

    database, store = open_both(storage, artifacts)
    found = verify_store(database, store, studies or (), min_age_s=min_age * 3600)
    wrong = [file for file in found.findings if file.status in ("missing", "damaged")]
    rows = [_file_row(file.record, file.size, file.status) for file in wrong]
    rows += map(_orphan_row, found.orphans)
    size = sum(file.size for file in found.findings)
    counts = {status: sum(file.status == status for file in found.findings) for status in _STATUSES}
    if as_json:
        summary = {"files": len(found.findings), "bytes": size, **counts, "unrecorded": len(found.orphans)}
        print_result(summary | {"rows": rows}, True)
    else:
        print_result(rows, False)
        listed = ", ".join(f"{number} {status}" for status, number in counts.items() if number or status in _SHOWN)
        typer.echo(f"{len(found.findings)} files ({format_size(size)}): {listed}, {len(found.orphans)} unrecorded")
    if not found.sound:
        raise typer.Exit(1)


@app.command("gc")
def artifacts_gc(
    budget: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Size to shrink the store to, such as 20GB [default: no limit].")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="Number of best trials of each study that keep their files.")] = 8,
    min_age: MinAge = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the files that would be removed.")] = False,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
    as_json: AsJson = False,
) -> None:
    """Remove unneeded files.

    With --budget also files of failed, pruned and bad trials until the store fits.
    """
    from ..storage.sizes import parse_size
    from ..upkeep.gc import collect_garbage

    limit = None if budget is None else parse_size(budget)
    database, store = open_both(storage, artifacts)
    done = collect_garbage(database, store, budget=limit, keep=keep, min_age_s=min_age * 3600, dry_run=dry_run)
    rows = [*map(_orphan_row, done.orphans)]
    rows += [_file_row(file.record, file.size, file.reason) for file in done.files]
    if as_json:
        summary = {"removed": len(rows), "bytes": done.removed, "left_bytes": done.left, "dry_run": dry_run}
        print_result(summary | {"other_databases": done.other_databases, "rows": rows}, True)
    else:
        print_result(rows, False)
        _print_totals(done, len(rows), dry_run)


_STATUSES = ("ok", "unhashed", "missing", "damaged")
_SHOWN = ("ok", "missing", "damaged")


def _print_totals(done: "GcResult", number: int, dry_run: bool) -> None:
    from ..storage.sizes import format_size

    verb = "would remove" if dry_run else "removed"
    typer.echo(f"{verb} {number} files ({format_size(done.removed)}); {format_size(done.left)} are left")
    if done.other_databases:
        typer.echo(
            "unrecorded files stay: the store is shared with another database"
            f" (its marker is {done.other_databases[0]}); if that one is gone, delete the marker.",
            err=True,
        )


def _file_row(record: "Record", size: int, status: str) -> dict[str, Any]:
    return {
        "study": record.study,
        "trial": record.number,
        "file": record.file.filename,
        "artifact": record.file.artifact_id,
        "bytes": size,
        "status": status,
    }


def _orphan_row(orphan: "Orphan") -> dict[str, Any]:
    entry = orphan.entry
    return dict.fromkeys(("study", "trial", "file")) | {
        "artifact": entry.artifact_id,
        "bytes": entry.size,
        "status": orphan.reason,
    }
