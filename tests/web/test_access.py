"""Requests that a page of another site makes a browser send are refused."""

import pytest

from venation.web.access import Access

LOCAL, OPEN = Access("127.0.0.1"), Access("0.0.0.0", names=("lab.example.org",))


def refusal(access: Access, method: str = "GET", **headers: str) -> str | None:
    """Return the reason why a request with these headers is refused."""
    return access.refusal(method, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LOCALHOST:8080", "localhost.", "127.0.0.1:8080", "[::1]:8080"]
)
def test_the_names_of_this_machine_are_known(host: str) -> None:
    assert refusal(LOCAL, host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "10.0.0.1",
        "",
        "localhost@evil.example",
        "localhost:8080@evil.example",
        "localhost:x",
        "localhost:99999",
        "localhost/..",
        "[::1",
        "evil.example#localhost",
    ],
)
def test_a_name_that_another_site_rebinds_is_refused(host: str) -> None:
    assert "--allow-host" in (refusal(LOCAL, host=host) or "")


def test_a_request_without_a_name_is_refused() -> None:
    assert refusal(LOCAL) is not None


def test_an_open_server_has_addresses_and_the_names_that_it_was_given() -> None:
    for host in ("lab.example.org", "LAB.example.org:443", "10.0.0.1:8080", "[fd00::1]:8080"):
        assert refusal(OPEN, host=host) is None, host
    for host in ("evil.example", "lab.example.org.evil.example", "10.0.0.1.nip.io"):
        assert refusal(OPEN, host=host) is not None, host


def test_pages_of_other_origins_are_refused() -> None:
    here = {"host": "localhost:8080"}
    assert refusal(LOCAL, **here, origin="http://localhost:8080") is None
    for origin in (
        "http://evil.example",
        "null",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "",
        "http://[",
        "file://",
    ):
        assert refusal(LOCAL, **here, origin=origin) is not None, origin
    # A proxy that replaced Host leaves Origin as it is.
    proxied = Access("127.0.0.1", names=("lab.example.org",))
    assert refusal(proxied, **here, origin="https://lab.example.org") is None


def test_parts_of_other_sites_are_refused_but_links_followed() -> None:
    here = {"host": "localhost", "sec_fetch_site": "cross-site"}
    assert refusal(LOCAL, **here, sec_fetch_mode="no-cors", sec_fetch_dest="image") is not None
    assert refusal(LOCAL, **here, sec_fetch_mode="navigate", sec_fetch_dest="iframe") is not None
    assert refusal(LOCAL, **here, sec_fetch_mode="navigate", sec_fetch_dest="document") is None


def test_a_form_of_another_port_of_an_allowed_name_is_refused() -> None:
    """Cookies and names do not tell the ports of a machine apart, but browsers do."""
    access = Access("127.0.0.1", names=("lab.example.org",), write=True)
    here = {"host": "lab.example.org", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}
    port = "http://lab.example.org:3000"
    assert "other sites" in (refusal(access, "POST", **here, origin=port, sec_fetch_site="same-site") or "")
    assert refusal(access, "POST", **here, origin="http://lab.example.org", sec_fetch_site="same-origin") is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_a_writable_dashboard_takes_changes(method: str) -> None:
    assert "--write" in (refusal(LOCAL, method, host="localhost") or "")
    assert refusal(Access("127.0.0.1", write=True), method, host="localhost") is None
    assert refusal(LOCAL, "HEAD", host="localhost") is None


def test_local_addresses() -> None:
    assert [Access(host).is_local for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1")] == [True] * 4
    assert [Access(host).is_local for host in ("0.0.0.0", "::", "10.0.0.1", "lab.example.org")] == [False] * 4
