"""Pages of `POST /engage`. Source: mixpanel-api.md#query-profiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mixpanel_etl.client.errors import ReplyError
from mixpanel_etl.client.operations.replies import typed
from mixpanel_etl.client.query.replies import PAGE_SIZE, ProfilePage


@dataclass
class Arrived:
    """What has arrived of one query so far, and how much Mixpanel says there is.

    A page may be short because a profile on it was deleted meanwhile, so a short page alone does not end the answer. An
    empty page does, and so does a short one with which all of `total` has come.

    Attributes:
        profiles: number of profiles on all pages so far.
        total: number of profiles of the whole query; None where Mixpanel does not say. One of its documents takes
            `total` for the number on the page (mixpanel-api.md#query-profiles): a full first page whose `total` is its
            own length says nothing about the pages after it.
        complete: whether no page follows.
    """

    profiles: int = 0
    total: int | None = None
    complete: bool = False

    def add(self, page: ProfilePage, number: int) -> None:
        """Count a page.

        Args:
            page: the page.
            number: of the page, from 0.
        """
        found = len(page.results)
        is_full = found >= (page.page_size or PAGE_SIZE)
        if number == 0 and page.total is not None and page.total >= found + is_full:
            self.total = page.total
        self.profiles += found
        nothing_to_ask_with = not page.session_id and not is_full and self.total is None
        # A total is no proof that nothing follows a full page; asking once more costs nothing with a session.
        all_there = not is_full and self.total is not None and self.profiles >= self.total
        self.complete = not found or all_there or nothing_to_ask_with


def pages(
    ask: Callable[[dict[str, str]], Any],
    form: Mapping[str, str],
    endpoint: str,
    *,
    session_id: str | None = None,
    number: int = 0,
    arrived: Arrived | None = None,
) -> Iterator[ProfilePage]:
    """Every page of one query, until all of `total` has arrived or a page is empty.

    Args:
        ask: sends a form and returns the decoded reply.
        form: the query, which stays the same for all pages.
        endpoint: for errors.
        session_id: of earlier pages, when these go on with them.
        number: of the first page to ask for, from 0.
        arrived: what earlier pages brought; counts on.
    """
    arrived = arrived or Arrived()
    begin = {} if session_id is None else {"session_id": session_id, "page": str(number)}
    page = _page(ask({**form, **begin}), endpoint)
    while True:
        arrived.add(page, number)
        yield page
        if arrived.complete:
            return
        if not page.session_id:
            # Others stop here, and lose what follows.
            said = f"{arrived.profiles:,} of {arrived.total:,} profiles" if arrived.total else "a full page"
            raise ReplyError(
                f"after page {number} ({said}) there is no session_id to ask for the next", endpoint=endpoint
            )
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
