"""Credentials inside URIs: told apart, and blotted out of whatever is stored, logged or shown."""

from __future__ import annotations

import re

HIDDEN = "***"

_SCHEME = r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)"
# A password may hold what a URI should have escaped: first all that stands before the last @ of the host's part, else
# all before the first @.
_PASSWORD = re.compile(_SCHEME + r"(?P<user>[^\s/?#:@'\"]*):(?:[^\s/'\"]*|[^\s@'\"]*)@")
_TOKEN = re.compile(r"(?P<scheme>https?://)[^\s/?#:@'\"]+@")
"""A name without a password before the host of a web server: most often it is a token."""
_NAME = r"[\w.\-]*(?:passwd|password|secret|token|signature|credential|api_?key|access_?key)|sig|key"
_PARAMETER = re.compile(rf"(?P<name>[?&;](?:{_NAME})=)[^&;\s#'\"]+", re.IGNORECASE)
_SETTING = re.compile(r"(?P<name>\b(?:ssl)?password\s*=\s*)(?:'[^']*'|[^\s&;'\"]+)", re.IGNORECASE)
"""As libpq writes a connection: `host=db password=...`."""


def redacted(text: str) -> str:
    """A text without the credentials that URIs in it hold: passwords, tokens, signatures. The rest stays as it is, so
    that an address is still known by its host and its user."""
    if "@" in text:
        text = _PASSWORD.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", text)
        text = _TOKEN.sub(rf"\g<scheme>{HIDDEN}@", text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\g<name>{HIDDEN}", text)
        text = _SETTING.sub(rf"\g<name>{HIDDEN}", text)
    return text


def has_credentials(text: str) -> bool:
    """Whether a URI holds what :func:`redacted` would blot out."""
    return redacted(text) != text
