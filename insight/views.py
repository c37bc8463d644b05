"""The requests that the dashboard answers itself: studies as JSON, notes, deletions."""

import json
import math
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from optuna.storages import RDBStorage

from ..errors import UserError
from ..search.spec import StudySpec
from ..storage.artifacts import Artifacts, get_file
from ..storage.attributes import SPEC
from ..studies.registry import delete_study, open_study
from ..trials.image_outcomes import OUTCOMES, ImageOutcomes
from ..web.answers import JSON, SVG, Answer, refuse
from .notes import joined, users_part
from .study_json import list_json, study_json
from .trial_json import TrialWriter
from .trial_pictures import CURVE, draw_confusion, draw_curve

_STUDY = re.compile(r"/api/studies/(\d{1,9})")
_RENAME = re.compile(r"/api/studies/\d+/rename")
_NOTE = re.compile(r"/api/studies/\d+(/\d+)?/note")
_PICTURE = re.compile(r"/pictures/(\d{1,9})/(\d{1,9})/(curve\.svg|confusion\.svg)")
_MAX_NOTE = 1 << 20
_WITHOUT_SPEC = """**This study was made outside Venation** (by CREATE on this page, or by Optuna): it has no data, no
network and no space to search, so `venation worker` cannot run it. An empty one that maximises a single value becomes a
study of Venation with

`venation study create NAME --kind classifier --data FOLDER`

Otherwise delete it, or give the new study another name."""


@dataclass(frozen=True)
class Views:
    """A WSGI application that answers for Venation's studies, and leaves the rest to another."""

    application: WSGIApplication
    storage: RDBStorage
    artifacts: Artifacts
    root: str
    _writer: TrialWriter = field(default_factory=TrialWriter)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "").rstrip("/")
        answer: WSGIApplication | None = None
        if method == "GET" and path == "/api/studies":
            answer = Answer("200 OK", json.dumps(list_json(self.storage)), JSON)
        elif method == "GET" and (found := _STUDY.fullmatch(path)):
            answer = self._study(int(found[1]), environ)
        elif method == "GET" and (found := _PICTURE.fullmatch(path)):
            answer = self._picture(int(found[1]), int(found[2]), found[3])
        elif method == "DELETE" and (found := _STUDY.fullmatch(path)):
            answer = self._delete(int(found[1]))
        elif method == "POST" and _RENAME.fullmatch(path):
            reason = "renaming here would lose the files of the trials; use `venation study migrate STUDY --as NAME`"
            answer = refuse("400 Bad Request", reason, as_json=True)
        elif method == "PUT" and _NOTE.fullmatch(path):
            environ = _with_users_note(environ)
        return (answer or self.application)(environ, start_response)

    def _study(self, study_id: int, environ: WSGIEnvironment) -> WSGIApplication | None:
        """Answer with one of Venation's studies; None for one of another program or version."""
        frozen = next((study for study in self.storage.get_all_studies() if study._study_id == study_id), None)
        if frozen is None:
            return refuse("404 Not Found", f"study_id={study_id} is not found", as_json=True)
        if SPEC.get(frozen) is None:
            return _explained(self.application, environ, frozen.study_name)
        after = parse_qs(environ.get("QUERY_STRING", "")).get("after", ["0"])[0]
        if not (after.isascii() and after.isdigit() and len(after) < 10):
            return refuse("400 Bad Request", "`after` should be larger or equal 0.", as_json=True)
        try:
            handle = open_study(self.storage, frozen.study_name)
        except UserError:
            return None
        return Answer("200 OK", study_json(handle, frozen, self._writer, after=int(after), root=self.root), JSON)

    def _picture(self, study_id: int, trial_id: int, name: str) -> Answer:
        """Draw a trial's curve or confusion matrix."""
        missing = Answer("404 Not Found", "the trial or what the picture shows is missing\n")
        try:
            trial = self.storage.get_trial(trial_id)
            spec = SPEC.need(next(s for s in self.storage.get_all_studies() if s._study_id == study_id))
        except (KeyError, StopIteration):
            return missing
        if name == CURVE:
            numbers = [value for value in trial.intermediate_values.values() if math.isfinite(value)]
            objective = StudySpec.model_validate(spec).objectives[0]
            return Answer("200 OK", draw_curve(trial.intermediate_values, objective), SVG) if numbers else missing
        with tempfile.TemporaryDirectory(prefix="venation-") as folder:
            try:
                path = get_file(self.artifacts, trial, OUTCOMES, to=Path(folder), storage=self.storage)
                return Answer("200 OK", draw_confusion(ImageOutcomes.read(path)), SVG)
            except (UserError, ValueError, KeyError):
                return missing

    def _delete(self, study_id: int) -> WSGIApplication | None:
        """Delete one of Venation's studies as `study delete` does; None for another program's."""
        frozen = next((study for study in self.storage.get_all_studies() if study._study_id == study_id), None)
        if frozen is None or SPEC.get(frozen) is None:
            return None
        try:
            delete_study(self.storage, frozen.study_name, self.artifacts)
        except UserError as error:
            return refuse("400 Bad Request", str(error), as_json=True)
        return Answer("204 No Content")


def _explained(application: WSGIApplication, environ: WSGIEnvironment, name: str) -> WSGIApplication:
    """Add to another program's study, such as one of the page's CREATE button, what it lacks."""
    sent: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> Callable[[bytes], object]:
        sent.append((status, headers))
        return lambda _: None

    body = b"".join(application(environ, start))
    status, headers = sent[0]
    if status.startswith("200"):
        detail = json.loads(body)
        detail["note"]["body"] = joined(_WITHOUT_SPEC.replace("NAME", name), detail["note"]["body"])
        body = json.dumps(detail).encode()
    return Answer(status, body, JSON)


def _with_users_note(environ: WSGIEnvironment) -> WSGIEnvironment:
    """Return a request that saves a note without the part that Venation wrote."""
    length = environ.get("CONTENT_LENGTH") or "0"
    if not (length.isascii() and length.isdigit() and len(length) < 8 and int(length) <= _MAX_NOTE):
        return environ
    body = environ["wsgi.input"].read(int(length))
    try:
        given = json.loads(body)
        body = json.dumps(given | {"body": users_part(given["body"])}).encode()
    except (ValueError, TypeError, KeyError, AttributeError):
        pass  # the next application refuses it
    return {**environ, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
