"""What can go wrong between us and a warehouse, told without its password."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from mixpanel_etl.errors import MixpanelEtlError
from mixpanel_etl.quoting import redacted


class WarehouseError(MixpanelEtlError):
    """The warehouse can't be reached, rejects the query, or broke off in the middle of its result.

    The message says which, in the warehouse's own words, and what to do.
    """


#: Of connections, statements and names: what is said before any row is read cannot quote one.
_BEFORE_ROWS = re.compile(r"\b(Binder|Catalog|Parser|Permission|Connection|HTTP|IO|Not implemented) Error")
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_QUOTED = re.compile(r'"[^"]*"')
_CLASSES = ("08", "0A", "28", "3D", "42", "53", "55", "57")


def without_values(error: BaseException, sql: str = "") -> str:
    """What a driver says, in one line. Of an error about the content of rows, which quotes it, only known words.

    Args:
        error: the driver's.
        sql: the statement, whose words (but not its literals) may be repeated; empty on connecting.
    """
    text = " ".join(str(error).split())
    state = getattr(error, "sqlstate", None) or ""
    if not sql or _BEFORE_ROWS.search(text) or state.startswith(_CLASSES):
        return text
    known = frozenset(re.findall(r"\w+", _LITERAL.sub("", sql)))
    text = _QUOTED.sub(lambda match: match[0] if match[0][1:-1] in known else "***", _LITERAL.sub("***", text))
    return redacted(text, known)


class Scrubber:
    """Takes the secrets of a warehouse's URL out of text."""

    _secret_options = re.compile(r"(?i)password|passwd|secret|token|private|credential")

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        found = {url, parts.netloc, _password(parts), unquote(_password(parts))}
        found |= {value for name, value in parse_qsl(parts.query) if self._secret_options.search(name)}
        # A network location without a password is not a secret, and worth reading.
        self._secrets = sorted((s for s in found if s and (s not in (url, parts.netloc) or _password(parts))), key=len)

    def __call__(self, text: str) -> str:
        for secret in reversed(self._secrets):  # the longest first, so that nothing of it is left
            text = text.replace(secret, "***")
        return text


def _password(parts: SplitResult) -> str:
    # Not `parts.password`: that is lower-cased nowhere, but missing when the port is not a number.
    return parts.netloc.rpartition("@")[0].partition(":")[2]
