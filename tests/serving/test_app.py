"""The API over HTTP: answers as those of the predictor, and each bad request as one sentence."""

import base64
import io
import json
import socket
import threading
import zlib
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from served import CLASSES, form, photo, send, served, small_model, upload

from venation.serving.app import Limits
from venation.serving.model import Model
from venation.serving.server import ServeOptions
from venation.web.login import Login

TOKEN = "0123456789abcdef0123"
LIMIT = 100_000


@pytest.fixture(scope="module")
def model() -> Model:
    """The served model."""
    return small_model(threshold=0.999)


@pytest.fixture(scope="module")
def base(model: Model) -> Iterator[str]:
    """A server with a small limit of bytes."""
    with served([model], ServeOptions(limits=Limits(max_bytes=LIMIT))) as place:
        yield place


def refused(answer: tuple[int, Any]) -> tuple[int, str]:
    """Return status and reason of a refusal, which is one sentence."""
    status, body = answer
    assert list(body) == ["reason"] and "\n" not in body["reason"] and "/tmp" not in body["reason"]
    return status, body["reason"]


def picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))


def test_the_answer_is_that_of_the_predictor(base: str, model: Model, tmp_path: Path) -> None:
    path = tmp_path / "leaf.png"
    path.write_bytes(photo())
    (expected,) = model.predictor.predict([path], heat=True)
    assert expected.mask is not None
    status, found = upload(base, path.read_bytes(), query="?picture=mask&picture=overlay&picture=heatmap&picture=photo")
    assert status == 200 and (found["width"], found["height"], found["file"]) == (48, 40, "leaf.png")
    assert [(each["name"], pytest.approx(each["probability"], abs=1e-5)) for each in found["classes"]] == expected.top
    assert (found["label"], found["answer"], found["threshold"]) == (expected.label, "unknown", 0.999)
    assert found["mask_share"] == pytest.approx((expected.mask > 0).mean(), abs=1e-4)
    assert np.array_equal(np.asarray(picture(found["pictures"]["mask"])), expected.mask)
    assert {picture(url).size for url in found["pictures"].values()} == {(48, 40)} and len(found["pictures"]) == 4
    assert found["missing"] == {}


def test_pictures_come_when_asked_for_and_are_small(base: str) -> None:
    assert upload(base, photo())[1]["pictures"] == {}
    wide = photo(2000, 10, "JPEG")
    assert picture(upload(base, wide, query="?picture=photo")[1]["pictures"]["photo"]).size == (1600, 8)


def test_a_picture_that_cannot_be_drawn_has_a_reason() -> None:
    model = small_model(decoder="none")
    model.predictor.runner.draws_heat = False  # type: ignore[misc]  # as the runner of the ONNX graphs
    with served([model]) as base:
        status, found = upload(base, photo(), query="?picture=photo&picture=mask&picture=heatmap")
        facts = json.loads(send(base, "/api/model").body)
    assert status == 200 and list(found["pictures"]) == ["photo"] and found["mask_share"] is None
    assert set(found["missing"]) == {"mask", "heatmap"} and "no decoder" in found["missing"]["mask"]
    assert "need torch" in found["missing"]["heatmap"] and "--runner torch" in found["missing"]["heatmap"]
    assert facts["heat"] == facts["masks"] == []


@pytest.mark.parametrize("name", ["Blatt größer 1.png", "../../etc/passwd", "C:\\photos\\leaf.png", "a" * 300, ""])
def test_any_name_is_a_name(base: str, name: str) -> None:
    status, found = upload(base, photo(), name)
    assert (status, found["file"]) == (200, name.replace("\\", "/").rpartition("/")[2][:120] or "image")


def test_what_is_no_image_is_refused_by_its_name(base: str) -> None:
    status, reason = refused(upload(base, b"<svg onload=alert(1)>", "größer als.jpg"))
    assert status == 415 and reason.startswith("größer als.jpg cannot be decoded (not recognised as one of")
    assert refused(upload(base, photo()[:400]))[0] == 415
    assert refused(upload(base, b""))[1].startswith("the file is empty")


def test_a_bomb_is_refused_by_its_size_in_the_header(base: str) -> None:
    file = io.BytesIO()
    Image.new("1", (8, 8)).save(file, "PNG")
    content = bytearray(file.getvalue())
    content[16:24] = (60_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    status, reason = refused(upload(base, bytes(content), "bomb.png"))
    assert status == 413 and "exceeds limit" in reason and "bomb.png" in reason


def test_forms_without_one_file_are_refused(base: str) -> None:
    body, kind = form(photo(), field="image")
    for sent, content_type in (
        (body, kind),
        (b"", kind),
        (body, "multipart/form-data"),
        (body, "multipart/form-data; boundary=other"),
        (body[:50], kind),
        (photo(), "image/png"),
        (b"file=1", "application/x-www-form-urlencoded"),
        (b"{}", "application/json"),
    ):
        answer = send(base, "/api/predict", "POST", sent, Content_Type=content_type)
        assert refused((answer.status, json.loads(answer.body)))[0] == 400
    answer = send(base, "/api/predict?picture=x", "POST", body, Content_Type=kind)
    assert refused((answer.status, json.loads(answer.body)))[0] == 422


def raw(base: str, head: str, body: bytes = b"") -> bytes:
    """Send bytes as they are; return what came back when the server closes the connection."""
    host, port = base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + body)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def test_a_large_upload_is_refused_before_it_is_sent(base: str) -> None:
    # Only the header comes: an answer means that the server did not wait for 100 MB.
    head = f"POST /api/predict HTTP/1.1\nHost: localhost\nContent-Length: {100 << 20}\nContent-Type: {form(b'')[1]}\n\n"
    answer = raw(base, head)
    assert answer.startswith(b"HTTP/1.1 413 ") and b"larger than 0.0954 MB" in answer


def test_a_large_upload_without_a_length_is_refused_at_the_limit(base: str) -> None:
    body, kind = form(b"0" * (LIMIT + 70_000))
    chunks = b"%x\r\n%s\r\n" % (len(body), body)  # the last chunk never comes
    head = f"POST /api/predict HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\nContent-Type: {kind}\n\n"
    assert raw(base, head, chunks).startswith(b"HTTP/1.1 413 ")
    assert refused(upload(base, b"0" * (LIMIT + 1)))[0] == 413


def test_random_and_cut_files_are_never_an_error_of_the_server(base: str) -> None:
    rng = np.random.default_rng(1)
    whole = {kind: photo(64, 48, kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP")}
    contents = [rng.bytes(int(size)) for size in rng.integers(1, 5000, 10)]
    for kind, content in whole.items():
        contents += [content[: int(at)] for at in rng.integers(8, len(content), 6)]
        for _ in range(6):
            broken = bytearray(content)
            broken[int(rng.integers(0, min(len(broken), 200)))] ^= int(rng.integers(1, 256))
            contents.append(bytes(broken))
        assert upload(base, content, f"leaf.{kind}")[0] == 200
    assert {upload(base, content)[0] for content in contents} <= {200, 413, 415}


def test_random_forms_are_never_an_error_of_the_server(base: str) -> None:
    rng = np.random.default_rng(2)
    body, kind = form(photo(8, 8))
    for _ in range(40):
        broken = bytearray(body)
        for at in rng.integers(0, 120, 3):
            broken[int(at)] = int(rng.integers(0, 256))
        assert send(base, "/api/predict", "POST", bytes(broken), Content_Type=kind).status in (200, 400, 415)


def test_the_model_is_described(base: str) -> None:
    facts = json.loads(send(base, "/api/model").body)
    assert facts["classes"] == list(CLASSES) and facts["name"] == "trees.bundle" and facts["max_bytes"] == LIMIT
    assert facts["masks"] == [{"name": "structure", "colour": "#00e5ff"}] and facts["heat"][-1] == "#ffe65a"
    (score,) = facts["scores"]
    assert score == {"part": "test", "images": 8, "metric": "accuracy", "value": 0.75, "low": 0.5, "high": 1.0}


def test_metrics_count_requests_and_answers(model: Model) -> None:
    with served([model]) as base:
        upload(base, photo())
        upload(base, b"no image")
        text = send(base, "/metrics").body.decode()
    for line in (
        'venation_serve_requests_total{status="200"} 1.0',
        'venation_serve_requests_total{status="415"} 1.0',
        'venation_serve_answers_total{answer="unknown"} 1.0',
        "venation_serve_seconds_count 1.0",
        "venation_serve_pending 0.0",
    ):
        assert line in text


def test_other_addresses_are_one_sentence(base: str) -> None:
    for path, method, status in (("/nothing", "GET", 404), ("/page/app.py", "GET", 404), ("/api/predict", "GET", 405)):
        answer = send(base, path, method)
        assert refused((answer.status, json.loads(answer.body)))[0] == status


def test_the_description_of_the_api_needs_no_network(base: str) -> None:
    schema = json.loads(send(base, "/api/openapi.json").body)
    assert {"/api/predict", "/api/model", "/healthz", "/metrics"} == set(schema["paths"])
    page = unescape(send(base, "/docs").body.decode())
    assert "https://" not in page and all(path in page for path in schema["paths"])
    assert f"curl -F file=@leaf.jpg '{base}/api/predict" in page


def test_a_token_opens_the_api_and_the_page(model: Model) -> None:
    with served([model], ServeOptions(login=Login({}, (TOKEN,)))) as base:
        assert send(base, "/healthz").status == 200
        assert refused(upload(base, photo()))[0] == 401
        assert refused(upload(base, photo(), Authorization="Bearer wrong wrong wrong"))[0] == 401
        assert upload(base, photo(), Authorization=f"Bearer {TOKEN}")[0] == 200
        assert send(base, "/metrics").headers["location"] == "/login?next=/metrics"
        page = send(base, "/")
        assert (page.status, page.headers["location"]) == (303, "/login?next=/")
        kind = "application/x-www-form-urlencoded"
        wrong = send(base, "/login?next=/docs", "POST", b"user=&secret=guess", Content_Type=kind)
        assert wrong.status == 401 and b"is wrong" in wrong.body
        right = send(base, "/login?next=/docs", "POST", f"secret={TOKEN}".encode(), Content_Type=kind)
        cookie = right.headers["set-cookie"].split(";")[0]
        assert right.headers["location"] == "/docs" and b"Log out" in send(base, "/", Cookie=cookie).body
        assert upload(base, photo(), Cookie=cookie)[0] == 200
        long = send(base, "/login", "POST", b"secret=" + b"x" * 9000, Content_Type=kind)
        assert long.status == 401


def test_requests_of_other_sites_are_refused(base: str) -> None:
    assert refused(upload(base, photo(), Host="evil.example"))[0] == 403
    assert refused(upload(base, photo(), Origin="http://evil.example"))[0] == 403
    headers = send(base, "/").headers
    assert headers["x-content-type-options"] == "nosniff" and "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers


def test_a_proxy_may_leave_or_remove_its_path(model: Model) -> None:
    with served([model], ServeOptions(root="/lab")) as base:
        for path in ("/lab/", "/"):
            assert b'<base href="/lab/">' in send(base, path).body
        assert send(base, "/lab/api/model").status == 200
        assert send(base, "/lab").headers["location"] == "/lab/"


class _Slow(Model):
    """A model that answers when the test lets it."""

    go = threading.Event()
    began = threading.Semaphore(0)

    def answer(self, *arguments: Any) -> Any:
        self.began.release()
        assert self.go.wait(60)
        return super().answer(*arguments)


def test_a_full_queue_says_when_to_try_again(model: Model) -> None:
    slow = _Slow(model.name, model.record, model.predictor, None)
    with served([slow], ServeOptions(limits=Limits(waiting=1))) as base:
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(upload(base, photo())[0])) for _ in range(2)]
        for thread in threads:
            thread.start()
        assert slow.began.acquire(timeout=60)
        body, kind = form(photo())
        while b"venation_serve_pending 2.0" not in send(base, "/metrics").body:
            pass  # the second request is still on its way
        answer = send(base, "/api/predict", "POST", body, Content_Type=kind)
        assert (answer.status, answer.headers["retry-after"]) == (503, "2") and b"busy" in answer.body
        slow.go.set()
        for thread in threads:
            thread.join()
        assert answers == [200, 200] and upload(base, photo())[0] == 200


def test_a_time_limit_ends_slow_uploads_and_slow_answers(model: Model) -> None:
    slow = _Slow(model.name, model.record, model.predictor, None)
    slow.go.clear()
    with served([slow], ServeOptions(limits=Limits(waiting=0, seconds=0.2))) as base:
        head = f"POST /api/predict HTTP/1.1\nHost: localhost\nContent-Length: 900\nContent-Type: {form(b'')[1]}\n\n"
        assert raw(base, head).startswith(b"HTTP/1.1 408 ")
        assert refused(upload(base, photo()))[0] == 504
        # Its thread still works, so its place is taken.
        assert refused(upload(base, photo()))[0] == 503
        slow.go.set()
