"""Addresses without their secrets, for everything that is shown, stored or sent.

An address is parsed by the library that uses it (SQLAlchemy for databases, `urllib` for the rest), not with a pattern.
An address that cannot be parsed without doubt is hidden completely.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, urlsplit

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

HIDDEN = "***"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Parameters of a database's address that are not secret; all other values are hidden.
_HARMLESS = frozenset({"host", "port", "user", "dbname", "service", "sslmode", "connect_timeout", "application_name"})
# The characters of a user, a host and a database; anything else may be part of an unquoted password.
_PLAIN = re.compile(r"[\w.,:%+~/\[\] -]*")
_WORDS_OF_LIBPQ = re.compile(r"((?:^|.*\s)pass\w*\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)
# Options whose whole value is a secret.
_SECRET_OPTIONS = frozenset({"--webhook"})
# A shorter text occurs in other words by chance.
_SHORTEST_SECRET = 3


def mask_url(url: str) -> str:
    """`url` without passwords, tokens and values that may be secret.

    The values of a web address's parameters are hidden, since signed addresses have their secret there. In text that is
    not an address only the value of a `password=` is hidden.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return _WORDS_OF_LIBPQ.sub(rf"\g<1>{HIDDEN}", url)
    if scheme.group().startswith(("sqlite:", "file:")):
        return url
    shown = _database(url) if _is_database(scheme.group()) else _web(url)
    return shown or f"{scheme.group()}{HIDDEN}"


def mask_words(words: Sequence[str]) -> list[str]:
    """The words of a command line without secrets."""
    found = []
    hide_next = False
    for word in words:
        name, equals, _ = word.partition("=")
        if hide_next:
            found.append(HIDDEN)
        elif name in _SECRET_OPTIONS and equals:
            found.append(f"{name}={HIDDEN}")
        else:
            found.append(_mask_within(word))
        hide_next = name in _SECRET_OPTIONS and not equals and not hide_next
    return found


def is_clear(url: str) -> bool:
    """Whether it is certain which part of a database's address is the password.

    An `@` or a `?` in a password has to be quoted (`%40`, `%3F`); otherwise a parser reads part of it as the host.
    """
    rest = _SCHEME.sub("", url, count=1)
    before, at, _ = rest.rpartition("@")
    return not (at and ("@" in before or "?" in before)) and not _WORDS_OF_LIBPQ.match(rest)


def secrets_of(url: str) -> tuple[str, ...]:
    """Every secret in an address, plain and quoted, to remove them from messages about it."""
    parts = urlsplit(url) if _is_web(url) else None
    found: set[str] = set()
    if parts is not None:
        found |= {parts.netloc.rpartition("@")[0], *(pair.partition("=")[2] for pair in parts.query.split("&"))}
    elif (parsed := _parsed(url)) is not None:
        found |= {str(parsed.password or "")}
        found |= {str(value) for key, value in parsed.query.items() if key.lower() not in _HARMLESS}
    long = {one for text in found for one in (text, unquote(text)) if len(text) >= _SHORTEST_SECRET}
    return tuple(sorted(long | {form(text) for text in long for form in (quote, quote_plus)}, key=len, reverse=True))


def scrub(text: str, secrets: Iterable[str]) -> str:
    """`text` with each of the secrets hidden."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return text


def _mask_within(word: str) -> str:
    scheme = _SCHEME.search(word)
    start = scheme.start() if scheme is not None else 0
    return word[:start] + mask_url(word[start:])


def _is_web(url: str) -> bool:
    """Whether `url` is an address that `urllib` can parse."""
    scheme = _SCHEME.match(url)
    try:
        return scheme is not None and not _is_database(scheme.group()) and bool(urlsplit(url))
    except ValueError:
        return False


def _is_database(scheme: str) -> bool:
    return scheme.startswith(("postgres", "mysql", "mariadb", "mssql", "oracle"))


def _parsed(url: str) -> URL | None:
    """SQLAlchemy's URL; `None` if it cannot be parsed."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None


def _database(url: str) -> str:
    parsed = _parsed(url) if is_clear(url) else None
    if parsed is None:
        return ""
    parts = (parsed.username or "", parsed.host or "", str(parsed.database or ""))
    if not all(_PLAIN.fullmatch(part) for part in parts):
        return ""
    query = {key: value if key.lower() in _HARMLESS else HIDDEN for key, value in parsed.query.items()}
    harmless = [value for key, value in query.items() if value != HIDDEN]
    if not all(_PLAIN.fullmatch(value) for value in harmless if isinstance(value, str)):
        return ""
    return str(parsed.set(query=query).render_as_string(hide_password=True)).replace(quote(HIDDEN), HIDDEN)


def _web(url: str) -> str:
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return ""
    host = parts.hostname or ""
    if not _PLAIN.fullmatch(host) or "@" in parts.path:
        return ""
    user = f"{HIDDEN}@" if "@" in parts.netloc else ""
    query = "&".join(f"{part.partition('=')[0]}={HIDDEN}" for part in parts.query.split("&")) if parts.query else ""
    shown_host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{user}{shown_host}{port}{parts.path}" + (f"?{query}" if query else "")
