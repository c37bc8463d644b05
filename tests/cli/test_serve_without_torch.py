"""`venation serve` in a process that has neither torch nor the search."""

import base64
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from dashboards import send
from light import RUN, light
from PIL import Image
from served import photo, upload
from small_bundle import SmallBundle

import venation

LAYERS = "?picture=photo&picture=mask&picture=overlay&picture=heatmap"


@pytest.fixture
def base(small_bundle: SmallBundle) -> Iterator[str]:
    """Serve the bundle without the heavy packages; it ends without a word when it is stopped."""
    command = [sys.executable, "-c", RUN, "serve", str(small_bundle.path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        found = re.search(r"(http://127\.0\.0\.1:\d+)/", server.stderr.readline())
        assert found is not None
        yield found[1]
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0 and server.stderr.read() == ""


def test_a_photo_is_answered_as_with_torch(base: str, small_bundle: SmallBundle) -> None:
    leaf = next((small_bundle.leaves / "images").rglob("*.png"))
    (expected,) = venation.load_bundle(small_bundle.path, runner="torch").predict(leaf)
    status, found = upload(base, leaf.read_bytes(), query=LAYERS)
    assert status == 200, found
    assert (found["label"], found["answer"] in (expected.label, "unknown")) == (expected.label, True)
    assert {each["name"]: each["probability"] for each in found["classes"]} == pytest.approx(
        dict(expected.top), abs=1e-4
    )
    assert expected.mask is not None
    content = base64.b64decode(found["pictures"]["mask"].partition(",")[2])
    mask = np.asarray(Image.open(io.BytesIO(content)))
    assert mask.shape == expected.mask.shape and (mask != expected.mask).mean() < 1e-3
    assert found["mask_share"] == pytest.approx((mask > 0).mean())
    assert set(found["pictures"]) == {"photo", "mask", "overlay"}
    # The one picture that the graph cannot give.
    assert set(found["missing"]) == {"heatmap"} and "need torch" in found["missing"]["heatmap"]


def test_the_page_the_api_and_the_metrics_are_there(base: str) -> None:
    assert upload(base, photo())[0] == 200 and upload(base, b"no image")[0] == 415
    facts = json.loads(send(base, "/api/model").body)
    assert facts["heat"] == [] and facts["masks"] == [{"name": "structure", "colour": "#00e5ff"}]
    for path, says in (
        ("/", b"Drop a photo here"),
        ("/page/page.js", b"missing"),
        ("/docs", b"curl -F file=@leaf.jpg"),
        ("/metrics", b'venation_serve_requests_total{status="200"} 1.0'),
    ):
        assert says in send(base, path).body, path


def test_what_needs_torch_is_refused_in_one_line(small_bundle: SmallBundle) -> None:
    for option, value, says in (
        ("--runner", "torch", "the runner `torch` is not installed: use `onnx`"),
        ("--device", "cuda", "device `cuda` needs torch"),
    ):
        done = light("serve", small_bundle.path, "--port", 0, option, value)
        assert done.returncode == 2 and says in done.stderr and done.stderr.count("\n") == 1, done.stderr
