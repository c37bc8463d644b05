"""The command line: parse, call one function of a lower floor, print. Heavy imports stay inside the commands."""

import json
import logging
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from . import __version__
from .errors import UsageError, UserError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from .search.lease import StudyHandle
    from .storage.artifacts import Artifacts


class _Group(TyperGroup):
    """Turns an error that a user can cause into one line and its exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            typer.echo(f"Error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


class KindOption(StrEnum):
    """The kinds of study, as the command line spells them."""

    classifier = "classifier"
    decoder = "decoder"
    booster = "booster"


def _group(text: str) -> typer.Typer:
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None, cls=_Group)


app = typer.Typer(
    help="AutoML search for ultra-fine-grained images: search, train, watch, export, predict.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    cls=_Group,
)
data_app = _group("Look at a data set, or draw one.")
study_app = _group("Create, look at and delete studies.")
trial_app = _group("Look at single trials.")
bundle_app = _group("Export, verify and look at bundles.")
db_app = _group("The database: embedded PostgreSQL, or a server of your own.")
for name, group in (
    ("data", data_app),
    ("study", study_app),
    ("trial", trial_app),
    ("bundle", bundle_app),
    ("db", db_app),
):
    app.add_typer(group, name=name)

StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of the study.")]
StudyNames = Annotated[list[str], typer.Argument(metavar="STUDY...", help="Names of studies.")]
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help="Folder or CSV file of the images.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Folder or .zip of the bundle.")]
StorageUrl = Annotated[
    str | None,
    typer.Option(
        "--storage", envvar="VENATION_STORAGE", show_envvar=True, help="PostgreSQL URL; unset: an embedded server."
    ),
]
ArtifactsUrl = Annotated[
    str | None,
    typer.Option(
        "--artifacts", envvar="VENATION_ARTIFACTS", show_envvar=True, help="Where files of trials go; unset: a folder."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]


def _open(storage: str | None) -> "RDBStorage":
    import optuna

    from .storage.database import open_storage
    from .storage.urls import resolve_url

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return open_storage(resolve_url(storage))


def _open_both(storage: str | None, artifacts: str | None) -> "tuple[RDBStorage, Artifacts]":
    from .storage.artifacts import open_artifacts

    return _open(storage), open_artifacts(artifacts)


def _study(storage: str | None, name: str) -> "StudyHandle":
    from .search.studies import open_study

    return open_study(_open(storage), name)


def _print(rows: Any, as_json: bool) -> None:
    """A list of rows as a table, one mapping as lines, anything as JSON when asked."""
    from .search.printing import print_rows

    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
    else:
        print_rows(rows)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """AutoML search for ultra-fine-grained images: search, train, watch, export, predict."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    for noisy in ("alembic", "httpcore", "httpx", "huggingface_hub", "onnx_ir", "onnxscript", "timm", "torch"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


@app.command()
def demo(
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder for the leaves, the bundle and the predictions.")] = Path(
        "venation-demo"
    ),
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Run the whole main flow on generated leaves: three studies, a bundle, a prediction."""
    from .search.demo import run_demo

    run_demo(workers=workers, out=out, storage=storage, artifacts=artifacts)


@data_app.command("check")
def data_check(
    data: DataPath,
    min_images: Annotated[int, typer.Option(min=1, help="Fewest images that a class should have.")] = 4,
    as_json: AsJson = False,
) -> None:
    """List everything that is wrong with a data set; exit code 3 if anything is an error."""
    from dataclasses import asdict

    from .data.check import check_data

    findings = check_data(data, min_images=min_images)
    _print([asdict(finding) for finding in findings], as_json)
    errors = sum(finding.level == "error" for finding in findings)
    typer.echo(f"{errors} errors, {len(findings) - errors} warnings", err=True)
    if errors:
        raise typer.Exit(3)


@data_app.command("synth")
def data_synth(
    out: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create.")],
    classes: Annotated[int, typer.Option(help="Cultivars.")] = 6,
    images: Annotated[int, typer.Option(help="Leaves of each cultivar.")] = 20,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same leaves.")] = 0,
) -> None:
    """Draw leaves of a few cultivars with their exact vein masks."""
    from .data.synthetic import write_leaves

    write_leaves(out, classes=classes, images=images, size=size, seed=seed)
    typer.echo(out)


@study_app.command("create")
def study_create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the new study.")],
    kind: Annotated[KindOption, typer.Option(help="What to search for.")],
    data: Annotated[Path | None, typer.Option(help="Folder or CSV file of the images; a base brings its own.")] = None,
    base: Annotated[str | None, typer.Option(help="Classifier to freeze: STUDY (its best) or STUDY:NUMBER.")] = None,
    preset: Annotated[str, typer.Option(help="Recipe: default, xmnet or mnsa.")] = "default",
    trials: Annotated[int | None, typer.Option(min=1, help="Budget over all workers [default: 20].")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which no trial is started.")] = None,
    objective: Annotated[str | None, typer.Option(help="Validation metric to optimise.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Fix a config field; repeatable.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe or random [default: tpe].")] = None,
    pruner: Annotated[str | None, typer.Option(help="median or none [default: median].")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of splits, sampler and training [default: 0].")] = None,
    heartbeat: Annotated[
        float | None, typer.Option(help="Seconds between signs of life; six missed lose the trial [default: 10].")
    ] = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Create a study; the same name with the same spec is a no-op."""
    from .search.launch import build_spec, create_study

    database, store = _open_both(storage, artifacts)
    spec, digests = build_spec(
        database,
        kind=kind.value,
        data=data,
        base=base,
        preset=preset,
        settings=_settings(settings or []),
        objective=objective,
        trials=trials,
        timeout=timeout,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        heartbeat=heartbeat,
    )
    _, new = create_study(database, store, name, spec, digests)
    typer.echo(name)
    typer.echo(f"created; start `venation worker {name}`" if new else "exists with this very spec", err=True)


def _settings(pairs: list[str]) -> dict[str, str]:
    values = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"`--set {pair}` is not understood; write it as KEY=VALUE, say `--set train.epochs=3`.")
        values[key] = value
    return values


@study_app.command("list")
def study_list(storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List the studies with their kinds, budgets and best values."""
    from .search.studies import open_study, study_names, study_row

    database = _open(storage)
    _print([study_row(open_study(database, name)) for name in study_names(database)], as_json)


@study_app.command("show")
def study_show(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show a study's progress and its spec."""
    from .search.studies import study_row

    handle = _study(storage, study)
    _print(study_row(handle) | {"spec": handle.spec.model_dump(mode="json")}, as_json)


@study_app.command("trials")
def study_trials(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """List a study's trials."""
    from .search.studies import trial_row

    trials = _study(storage, study).study.get_trials(deepcopy=False)
    _print([trial_row(trial) for trial in trials], as_json)


@study_app.command("best")
def study_best(study: StudyName, storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show a study's best trial."""
    from .search.studies import best_trial, trial_details

    handle = _study(storage, study)
    best = best_trial(handle)
    if best is None:
        raise UserError(f"study `{study}` has no finished trial yet; start `venation worker {study}`.")
    _print(trial_details(handle, best.number), as_json)


@study_app.command("delete")
def study_delete(
    study: StudyName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Delete a study, its trials and their files."""
    from .search.studies import delete_study, open_study

    database, store = _open_both(storage, artifacts)
    handle = open_study(database, study)
    if not yes:
        typer.confirm(f"Delete study {study} with all its trials and files?", abort=True)
    typer.echo(f"deleted {study} and {delete_study(handle, store)} files")


@trial_app.command("show")
def trial_show(
    study: StudyName,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the trial.")],
    storage: StorageUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show one trial: config, curve, metrics, files and the cause of its end."""
    from .search.studies import trial_details

    _print(trial_details(_study(storage, study), number), as_json)


@app.command()
def worker(
    studies: StudyNames,
    device: Device = "auto",
    data: Annotated[Path | None, typer.Option(help="Where the data lie here, if not where the study says.")] = None,
    max_trials: Annotated[int | None, typer.Option(min=1, help="Stop after so many trials.")] = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Stop when every study has ended.")] = False,
    max_retries: Annotated[int, typer.Option(min=0, help="Workers that one trial may cost before it fails.")] = 3,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Pull trials of the studies and run them; the same command on every machine."""
    from .search.bench import open_bench
    from .search.studies import open_study
    from .search.worker import work

    database, store = _open_both(storage, artifacts)
    benches = [open_bench(open_study(database, name), store, device=device, data=data) for name in studies]
    ended = work(benches, max_trials=max_trials, max_losses=max_retries, until_idle=until_idle)
    typer.echo(f"{ended} trials ended", err=True)


@app.command()
def dashboard(
    host: Annotated[str, typer.Option(help="Address to listen on; the dashboard has no login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8080,
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Serve optuna-dashboard over the studies and the files of their trials."""
    from .search.dashboard import serve

    database, store = _open_both(storage, artifacts)
    serve(database, store, host=host, port=port)


@bundle_app.command("export")
def bundle_export(
    studies: StudyNames,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder or .zip file to create.")],
    data: Annotated[Path | None, typer.Option(help="Where the data lie here, if not where the study says.")] = None,
    device: Device = "auto",
    storage: StorageUrl = None,
    artifacts: ArtifactsUrl = None,
) -> None:
    """Write the best trials as one bundle, scored once on the sealed test part; print its path."""
    from .search.export import export_studies

    database, store = _open_both(storage, artifacts)
    typer.echo(export_studies(database, store, studies, out=out, data=data, device=device))


@bundle_app.command("check")
def bundle_check(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Verify a bundle: hashes, shapes, and that torch, ONNX and the stored samples agree."""
    from .storage.verify import check_bundle

    _print(check_bundle(bundle), as_json)


@bundle_app.command("show")
def bundle_show(bundle: BundlePath, as_json: AsJson = False) -> None:
    """Show what a bundle holds: studies, config, classes, metrics."""
    from .storage.bundles import read_record

    _print(read_record(bundle).model_dump(mode="json"), as_json)


@app.command()
def predict(
    bundle: BundlePath,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Images and folders of images.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for predictions.csv and masks.")],
    overlay: Annotated[bool, typer.Option("--overlay", help="Also draw the masks on the images.")] = False,
    heatmap: Annotated[bool, typer.Option("--heatmap", help="Also draw what the label rests on.")] = False,
    as_csv_text: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    as_json: AsJson = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images that the network sees at once.")] = 16,
    device: Device = "auto",
) -> None:
    """Predict labels and masks of images, labelled or not."""
    from .storage.inference import as_csv, predict_paths
    from .trials.device import choose_device

    where = choose_device(device)
    rows = predict_paths(bundle, paths, out, overlay=overlay, heatmap=heatmap, batch_size=batch_size, device=where)
    if as_csv_text:
        typer.echo(as_csv(rows), nl=False)
    else:
        _print(rows, as_json)


@app.command()
def evaluate(
    bundle: BundlePath,
    data: DataPath,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Score a bundle on labelled images; on its own data only the sealed test part counts."""
    from .storage.inference import evaluate_bundle
    from .trials.device import choose_device

    _print(evaluate_bundle(bundle, data, device=choose_device(device)), as_json)


@db_app.command("init")
def db_init(storage: StorageUrl = None) -> None:
    """Create the tables; safe to run from many machines at once, and again."""
    from .storage.database import init_db
    from .storage.urls import redact, resolve_url

    url = resolve_url(storage)
    init_db(url)
    typer.echo(redact(url))


@db_app.command("start")
def db_start() -> None:
    """Start the embedded PostgreSQL and print its URL."""
    from .storage import embedded

    typer.echo(embedded.start())


@db_app.command("stop")
def db_stop() -> None:
    """Stop the embedded PostgreSQL; its studies stay on disk."""
    from .storage import embedded

    typer.echo("stopped" if embedded.stop() else "was not running")


@db_app.command("status")
def db_status(storage: StorageUrl = None, as_json: AsJson = False) -> None:
    """Show the database's version, studies, trials and connections."""
    from .storage.database import server_status
    from .storage.urls import resolve_url

    _print(dict(server_status(resolve_url(storage))), as_json)


if __name__ == "__main__":
    app()
