"""Pages of `POST /engage`. Source: specification 5.5; api-facts 3.5."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mixpanel_etl.client.errors import ReplyError
from mixpanel_etl.client.query_replies import ProfilePage
from mixpanel_etl.client.replies import typed


def pages(
    ask: Callable[[dict[str, str]], Any],
    form: Mapping[str, str],
    endpoint: str,
    session_id: str | None = None,
    number: int = 0,
) -> Iterator[ProfilePage]:
    """Every page of one query, until one is shorter than a page.

    Args:
        ask: sends a form and returns the decoded reply.
        form: the query, which stays the same for all pages.
        endpoint: for errors.
        session_id: of earlier pages, when these go on with them.
        number: of the first page to ask for, from 0.
    """
    begin = {} if session_id is None else {"session_id": session_id, "page": str(number)}
    page = _page(ask({**form, **begin}), endpoint)
    while True:
        yield page
        if page.is_last or not page.results:
            return
        if not page.session_id:
            # Others stop here, and lose what follows.
            raise ReplyError(f"page {number} is full but has no session_id to ask for the next", endpoint=endpoint)
        number += 1
        page = _page(ask({**form, "session_id": page.session_id, "page": str(number)}), endpoint)


def _page(reply: Any, endpoint: str) -> ProfilePage:
    if isinstance(reply, dict) and isinstance(reply.get("results"), list):
        reply = {**reply, "results": [_with_text_id(profile) for profile in reply["results"]]}
    return typed(ProfilePage, reply, endpoint=endpoint)


def _with_text_id(profile: Any) -> Any:
    """One document shows ids as numbers; they are texts."""
    if isinstance(profile, dict) and isinstance(profile.get("$distinct_id"), int):
        return {**profile, "$distinct_id": str(profile["$distinct_id"])}
    return profile
