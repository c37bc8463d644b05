"""The guard over a WSGI application: health, login, headers, paths of a proxy, outages."""

import base64
import io
import json
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from dashboards import Response, ask
from sqlalchemy.exc import OperationalError

from venation.insight.guard import HOME, Guard
from venation.web.access import Access
from venation.web.gate import Gate
from venation.web.login import Login, add_user, read_login

TOKEN = "0123456789abcdef0123"


def inner(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer like optuna-dashboard: with shared origins."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Access-Control-Allow-Origin", "*")])
    return [environ["PATH_INFO"].encode()]


def guarded(login: Login | None = None, root: str = "", ready: bool = True, **access: object) -> Guard:
    """Return a guard over ``inner``."""
    gate = Gate(Access("127.0.0.1", **access), login, root, (HOME,))  # type: ignore[arg-type]
    return Guard(inner, gate, lambda: ready)


def post(guard: Guard, body: str, query: str = "", **environ: object) -> Response:
    """Send the login form."""
    given = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body.encode()), "QUERY_STRING": query}
    return ask(guard, f"{guard.gate.root}/login", "POST", **{**given, **environ})


def test_requests_pass_without_shared_origins() -> None:
    for path in ("/api/studies", "/artifacts/1/2/abc"):
        answer = ask(guarded(), path)
        assert (answer.status, answer.body) == (200, path.encode())
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ("sandbox" in answer.headers.get("content-security-policy", "")) == path.startswith("/artifacts")


def test_refusals_have_the_form_that_the_page_shows() -> None:
    answer = ask(guarded(), "/api/studies/1", "DELETE")
    assert answer.status == 403 and "--write" in json.loads(answer.body)["reason"]
    assert ask(guarded(write=True), "/api/studies/1", "DELETE").status == 200
    answer = ask(guarded(), "/dashboard", HTTP_HOST="evil.example")
    assert answer.status == 403 and answer.body.count(b"\n") == 1 and b"'evil.example'" in answer.body


def test_health_answers_without_a_login_and_to_any_name() -> None:
    guard = guarded(Login({}, (TOKEN,)), ready=False)
    assert ask(guard, "/health", HTTP_HOST="10.1.2.3").status == 200
    assert ask(guard, "/health/ready", HTTP_HOST="10.1.2.3").status == 503
    assert ask(guarded(), "/health/ready").status == 200


def test_a_token_opens_the_dashboard() -> None:
    guard = guarded(Login({}, (TOKEN,)))
    assert ask(guard, "/api/studies").status == 401
    page = ask(guard, "/dashboard/studies/3")
    assert (page.status, page.headers["location"]) == (303, "/login?next=/dashboard/studies/3")
    assert b'name="secret"' in ask(guard, "/login").body
    wrong = post(guard, "user=&secret=guess")
    assert wrong.status == 401 and b"is wrong" in wrong.body and "set-cookie" not in wrong.headers
    right = post(guard, f"user=&secret={TOKEN}", "next=/dashboard/studies/3", HTTP_X_FORWARDED_PROTO="https")
    assert (right.status, right.headers["location"]) == (303, "/dashboard/studies/3")
    cookie = right.headers["set-cookie"]
    assert all(flag in cookie for flag in ("HttpOnly", "SameSite=Lax", "Secure")) and TOKEN not in cookie
    assert ask(guard, "/api/studies", HTTP_COOKIE=cookie.split(";")[0]).status == 200
    assert ask(guard, "/api/studies", HTTP_COOKIE="venation_session=x").status == 401
    assert "Max-Age=0" in ask(guard, "/logout").headers["set-cookie"]


def test_scripts_send_a_token_or_a_password(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("login") / "users"
    path.write_text(f"{TOKEN}\n")
    add_user(path, "ada", "corolla: calyx")
    guard = guarded(read_login(path))

    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    for header, status in (
        (f"Bearer {TOKEN}", 200),
        ("Bearer nothing", 401),
        (basic("ada:corolla: calyx"), 200),
        (basic("ada:wrong"), 401),
        (basic("ada"), 401),
        ("Basic ???", 401),
        ("", 401),
        ("Digest x", 401),
    ):
        assert ask(guard, "/api/studies", HTTP_AUTHORIZATION=header).status == status, header
    assert post(guard, "user=ada&secret=corolla%3A+calyx").status == 303


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/artifacts/1/2/3", "/dashboard%0d%0aX: y"]
)
def test_a_login_leads_to_the_dashboard_only(target: str) -> None:
    location = post(guarded(Login({}, (TOKEN,))), f"secret={TOKEN}", f"next={target}").headers["location"]
    assert location.startswith("/dashboard") and "\n" not in location


@pytest.mark.parametrize("length", ["-1", "x", "1000000", "9" * 5000, ""])
def test_a_form_of_no_sensible_length_is_a_wrong_login(length: str) -> None:
    assert post(guarded(Login({}, (TOKEN,))), f"secret={TOKEN}", CONTENT_LENGTH=length).status == 401


def test_too_many_wrong_logins_are_refused() -> None:
    guard = guarded(Login({}, (TOKEN,)))
    for _ in range(20):
        assert ask(guard, "/api/studies", HTTP_AUTHORIZATION="Bearer guess").status == 401
    assert ask(guard, "/api/studies", HTTP_AUTHORIZATION="Bearer guess").status == 429
    assert b"wait a minute" in post(guard, "secret=guess").body
    assert ask(guard, "/api/studies", HTTP_AUTHORIZATION=f"Bearer {TOKEN}").status == 200


def test_a_proxy_may_leave_or_remove_its_path() -> None:
    guard = guarded(root="/lab/x")
    for path in ("/lab/x/api/studies", "/api/studies"):
        assert ask(guard, path).body == b"/api/studies"
    assert ask(guard, "/lab/x").headers["location"] == ask(guard, "/").headers["location"] == "/lab/x/dashboard"
    locked = guarded(Login({}, (TOKEN,)), root="/lab/x")
    assert ask(locked, "/lab/x/dashboard").headers["location"] == "/lab/x/login?next=/dashboard"
    assert "Path=/lab/x;" in post(locked, f"secret={TOKEN}").headers["set-cookie"]


def test_an_outage_of_the_database_is_one_line() -> None:
    def fails(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise OperationalError("SELECT", {}, Exception("could not connect to postgresql://ada:secret@db/x\nmore"))

    answer = ask(Guard(fails, Gate(Access("127.0.0.1"), None), lambda: False), "/api/studies")
    reason = json.loads(answer.body)["reason"]
    assert answer.status == 503 and "db status" in reason and "secret" not in reason and "\n" not in reason


def test_a_head_request_gets_no_body() -> None:
    assert ask(guarded(), "/health", "HEAD").body == b""
