"""Hide passwords in URLs before they reach a message, a log or a record."""

import re

SECRET_OPTIONS = ("password", "sslpassword")

_OPTION = re.compile(rf"([?&](?:{'|'.join(SECRET_OPTIONS)})=)[^&#]*")


def redact(url: str) -> str:
    """Return ``url`` with its passwords replaced by ``***``: that of the user and those among the options.

    Returns ``***`` alone where the text is no URL, or where a second @ makes it unclear where a password ends.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or url.count("@") > 1:
        return "***"
    login, _, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:***@{place}" if colon else rest
    return f"{scheme}://" + _OPTION.sub(r"\1***", shown)
