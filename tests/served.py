"""Served bundles for tests: a small model, a running server, and requests to it."""

import io
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from dashboards import send
from PIL import Image

from venation.bundles.load_network import LoadedBundle
from venation.bundles.record import BundleRecord, Interval
from venation.data.data_config import SplitConfig
from venation.models.build import build_network
from venation.serving.model import Model
from venation.serving.server import ServeOptions, build_server
from venation.spaces.fields import set_fields
from venation.trials.trial_config import TrialConfig
from venation.web.access import Access
from venation.web.address import listen

SETTINGS = {
    "encoder.name": "test_resnet",
    "encoder.weights": "none",
    "data.size": 32,
    "data.fit": "squash",
    "gate": "none",
    "decoder.kind": "unet",
    "decoder.channels": 8,
}
CLASSES = ("ash", "elm", "oak")


def small_model(threshold: float | None = None, *, decoder: str = "unet") -> Model:
    """Return a network of random weights with three classes and masks."""
    torch.manual_seed(0)
    config = set_fields(TrialConfig(), SETTINGS | {"decoder.kind": decoder})
    record = BundleRecord(
        sources=(),
        config=config,
        classes=CLASSES,
        metrics={"test": {"accuracy": Interval(value=0.75, low=0.5, high=1.0)}},
        images={"test": 8},
        data_fingerprint="",
        split=SplitConfig(),
        provenance={},
    )
    parts = LoadedBundle(record, build_network(config.network(len(CLASSES))).eval(), None)
    return Model("trees.bundle", record, parts.predictor(device=None, flips=False), threshold)


@contextmanager
def served(models: list[Model], options: ServeOptions | None = None) -> Iterator[str]:
    """Serve models in a thread; yield the URL without a path."""
    server = build_server(models, replace(options or ServeOptions(), port=0))
    with listen(Access("127.0.0.1"), 0) as place:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{place.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def form(content: bytes, name: str = "leaf.png", field: str = "file") -> tuple[bytes, str]:
    """Return the body and the content type of a form with one file."""
    mark = secrets.token_hex(12)
    head = f'--{mark}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
    return head.encode() + content + f"\r\n--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


def upload(base: str, content: bytes, name: str = "leaf.png", query: str = "", **headers: str) -> tuple[int, Any]:
    """Send a photo; return the status and the JSON of the response."""
    body, kind = form(content, name)
    response = send(base, f"/api/predict{query}", "POST", body, Content_Type=kind, **headers)
    return response.status, json.loads(response.body)


def photo(width: int = 48, height: int = 40, kind: str = "PNG", seed: int = 0) -> bytes:
    """Return an image file of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


Upload = Callable[..., tuple[int, Any]]
