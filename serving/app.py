"""The HTTP API of a bundle and its page."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from PIL import Image
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from ..data.images import FORMATS, decode_reason
from ..errors import DataError
from .api_page import api_page
from .guard import HEALTH
from .metrics import ServeMetrics
from .model import Model
from .schema import Answer, ModelFacts, Picture, Refusal
from .uploads import FIELD, Upload, read_upload
from .work_queue import Busy, WorkQueue

log = logging.getLogger(__name__)

PREDICT, DOCS = "/api/predict", "/docs"
PAGES = ("/", DOCS)
Pictures = Annotated[frozenset[Picture], Query(description="Pictures to draw; may be repeated.")]
_PAGE = Path(__file__).parent / "page"
_TYPES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_RETRY_S = 2
_DEFAULTS = ("Not Found", "Method Not Allowed")
_WORDS = {404: "there is no such page; see /docs.", 405: "this address takes another method; see /docs."}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {FIELD: {"type": "string", "format": "binary", "description": "One image."}},
                }
            }
        },
    }
}
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": text}
    for status, text in {
        400: "The form has no file.",
        401: "The token is missing or wrong.",
        403: "The request is one of a page of another site, or names another server.",
        408: "The upload took too long.",
        413: "The file has too many bytes or pixels.",
        415: "The file is no image that can be read.",
        422: "A parameter has another form.",
        429: "Too many wrong tokens in the last minute.",
        503: "Too many requests wait; `Retry-After` says when to try again.",
        504: "The prediction took too long.",
    }.items()
}


@dataclass(frozen=True)
class Limits:
    """The limits of a server: bytes of a file, waiting requests, seconds for upload and answer."""

    max_bytes: int = 32 << 20
    waiting: int = 16
    seconds: float = 60.0


def build_app(models: list[Model], limits: Limits, *, root: str = "", has_login: bool = False) -> FastAPI:
    """Return the application of a loaded bundle; ``models`` are copies, each for one thread."""
    queue = WorkQueue(models, limits.waiting)
    facts = models[0].facts(limits.max_bytes)
    metrics = ServeMetrics(facts.name, facts.bundle, lambda: queue.taken)
    app = FastAPI(
        title=f"Venation: {facts.name}",
        version=version("venation"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        servers=[{"url": root or "/"}],
    )
    app.state.queue = queue

    @app.post(PREDICT, response_description="The photo has an answer.", responses=_REFUSALS, openapi_extra=_FORM)
    async def predict(request: Request, picture: Pictures = frozenset()) -> Answer:
        """Return the classes of one photo, and the pictures that are asked for."""
        try:
            answer = await _predict(request, picture, queue, limits)
        except HTTPException as error:
            metrics.requests.labels(str(error.status_code)).inc()
            raise
        metrics.requests.labels("200").inc()
        metrics.answers.labels(answer.answer).inc()
        metrics.seconds.observe(answer.seconds)
        return answer

    @app.get("/api/model", response_description="The bundle and its scores.", responses={401: _REFUSALS[401]})
    def model() -> ModelFacts:
        """Return what the bundle is, how well it scores, and what the server accepts."""
        return facts

    @app.get(HEALTH, response_description="The server runs.")
    def health() -> dict[str, str]:
        """Return that the server runs and its bundle is loaded; needs no token."""
        return {"status": "ok"}

    @app.get("/metrics", response_description="Text of metrics.", response_class=Response)
    def prometheus() -> Response:
        """Return the metrics of this server in Prometheus' format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    _add_pages(app, facts, root, has_login)
    _add_refusals(app)
    return app


async def _predict(request: Request, pictures: Pictures, queue: WorkQueue[Model], limits: Limits) -> Answer:
    """Take a place, read the upload and predict it. Raises HTTPException."""
    try:
        with queue.place() as place:
            upload = await read_upload(request, limit=limits.max_bytes, seconds=limits.seconds)
            work = _answering(upload, pictures)
            return await place.run(work, seconds=limits.seconds, done=upload.close)
    except Busy:
        reason = f"the server is busy; try again in {_RETRY_S} seconds."
        raise HTTPException(503, reason, {"Retry-After": str(_RETRY_S)}) from None
    except TimeoutError:
        raise HTTPException(504, f"no answer within {limits.seconds:g} seconds; send a smaller image.") from None


def _answering(upload: Upload, pictures: Pictures) -> Callable[[Model], Answer]:
    def run(model: Model) -> Answer:
        try:
            return model.answer(upload.path, upload.name, pictures)
        except DataError as error:
            raise _refusal(error, upload) from None

    return run


def _refusal(error: DataError, upload: Upload) -> HTTPException:
    """Return the refusal of a file that cannot be decoded; it names the sender's file."""
    cause = error.__cause__ or error
    status = 413 if isinstance(cause, Image.DecompressionBombError) else 415
    reason = decode_reason(cause, FORMATS).replace(str(upload.path), upload.name)
    return HTTPException(status, f"{upload.name} cannot be decoded ({reason}); send another image.")


def _add_pages(app: FastAPI, facts: ModelFacts, root: str, has_login: bool) -> None:
    """Add the page, its files, and the description of the API."""

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return Response(_page(root, facts.name, has_login), media_type="text/html")

    @app.get("/page/{name}", include_in_schema=False)
    def page_file(name: str) -> Response:
        if name not in _TYPES:
            raise HTTPException(404, "there is no such page; open /.")
        return Response((_PAGE / name).read_bytes(), media_type=_TYPES[name])

    @app.get(DOCS, include_in_schema=False)
    def docs(request: Request) -> Response:
        place = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}{root}"
        return Response(api_page(app.openapi(), root, place), media_type="text/html")


@cache
def _page(root: str, name: str, has_login: bool) -> str:
    html = (_PAGE / "index.html").read_text(encoding="utf-8")
    logout = '<a href="logout">Log out</a>' if has_login else ""
    for mark, value in (("{root}", root), ("{name}", escape(name)), ("{logout}", logout)):
        html = html.replace(mark, value)
    return html


def _add_refusals(app: FastAPI) -> None:
    """Give every error the form of ``Refusal``."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        detail = _WORDS.get(error.status_code) if error.detail in _DEFAULTS else error.detail
        return JSONResponse({"reason": detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def misused(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = first["loc"][1] if len(first["loc"]) > 1 else first["loc"][0]
        return JSONResponse({"reason": f"{where}: {first['msg']}; see /docs."}, 422)
