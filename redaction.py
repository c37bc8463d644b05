"""Hide the passwords in URLs before they reach a message, a log or a record."""

import re

SECRET_OPTIONS = ("password", "sslpassword")

_OPTION = re.compile(rf"([?&](?:{'|'.join(SECRET_OPTIONS)})=)[^&#]*")


def redact(url: str) -> str:
    """Return ``url`` with ``***`` in place of every password: the user's and those in its options.

    Return only ``***`` if the text is not a URL, or if a second @ hides the end of the password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or url.count("@") > 1:
        return "***"
    login, _, address = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:***@{address}" if colon else rest
    return f"{scheme}://" + _OPTION.sub(r"\1***", shown)
