"""Profiles of users and groups, page by page: `POST /engage`. Source: mixpanel-api.md#query-profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from mixpanel_etl.client.errors import InvalidRequest, ReplyError
from mixpanel_etl.client.http.encoding import json_string
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import FORM
from mixpanel_etl.client.operations.parameters import given
from mixpanel_etl.client.operations.replies import Reply, typed
from mixpanel_etl.client.query.base import QueryApi, query_operations
from mixpanel_etl.client.query.parameters import optional_flags, optional_integers, optional_strings

operation = query_operations("query-profiles")

PAGE_SIZE = 1000


class Profile(Reply, frozen=True, kw_only=True):
    """Id and properties of a user or a group."""

    distinct_id: str = msgspec.field(name="$distinct_id")
    properties: dict[str, Any] = msgspec.field(name="$properties", default_factory=dict)


class ProfilePage(Reply, frozen=True, kw_only=True):
    """A page of profiles. Mixpanel's own documents disagree about `total`, see `Arrived`."""

    results: list[Profile]
    page: int | None = None
    page_size: int | None = None
    session_id: str | None = None
    total: int | None = None
    status: str | None = None


@dataclass
class Arrived:
    """Progress of a query: the profiles that arrived so far, and their total.

    A page may be short because a profile on it was deleted meanwhile, so a short page alone does not end the reply. An
    empty page does, and so does a short one with which all of `total` has arrived.

    Attributes:
        profiles: number of profiles on all pages so far.
        total: number of profiles of the whole query, None if unknown. One of Mixpanel's documents takes `total` for
            the number on the page (mixpanel-api.md#query-profiles): a full first page whose `total` is its
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
            number: number of the page, from 0.
        """
        found = len(page.results)
        is_full = found >= (page.page_size or PAGE_SIZE)
        if number == 0 and page.total is not None and page.total >= found + is_full:
            self.total = page.total
        self.profiles += found
        nothing_to_ask_with = not page.session_id and not is_full and self.total is None
        # A total does not prove that nothing follows a full page; asking once more costs nothing with a session.
        all_there = not is_full and self.total is not None and self.profiles >= self.total
        self.complete = not found or all_there or nothing_to_ask_with


class ProfileQueries(QueryApi):
    """Profiles."""

    @operation("POST", "/engage", "1,000 profiles a page", sends=FORM, idempotent=True)
    def engage(
        self,
        *,
        where: str | None = None,
        distinct_id: str | None = None,
        distinct_ids: Sequence[str] | None = None,
        output_properties: Sequence[str] | None = None,
        filter_by_cohort: int | None = None,
        include_all_users: bool | None = None,
        data_group_id: str | int | None = None,
        behaviors: Sequence[Mapping[str, Any]] | None = None,
        as_of_timestamp: datetime | None = None,
        page_size: int | None = None,
        session_id: str | None = None,
        page: int = 0,
        arrived: Arrived | None = None,
    ) -> Iterator[ProfilePage]:
        """Profiles of users, or of groups, page by page. Each page is one request of the hour's 60.

        To go on after an interruption, repeat the same call with the `session_id` of the last page that arrived, and
        the number of the next page. How long Mixpanel keeps a session is not documented; `BadRequest` when it is gone.

        Args:
            where: segmentation expression that filters the profiles, such as `user["plan"] == "pro"`.
            distinct_id: id of the only profile.
            distinct_ids: ids of the profiles.
            output_properties: names of the returned properties; all by default.
            filter_by_cohort: id of the cohort whose members are returned. Not together with `behaviors`.
            include_all_users: whether members of the cohort without a profile are returned, too (the default).
            data_group_id: id of the group key, for profiles of groups.
            behaviors: selectors of events that users did.
            as_of_timestamp: aware time at which `behaviors` are evaluated; now by default, so that all pages agree.
            page_size: maximum number of profiles a page, at most 1,000 (the default); only the specification has it.
            session_id: session of earlier pages; a new query by default.
            page: number of the first page, from 0; above 0 only with a `session_id`.
            arrived: progress of earlier pages; it counts on, and says after each page whether it was the last one.
        """
        if behaviors is not None and filter_by_cohort is not None:
            raise InvalidRequest("both behaviors and filter_by_cohort", advice="Give one of them.")
        if behaviors is None and as_of_timestamp is not None:
            raise InvalidRequest("as_of_timestamp without behaviors", advice="Leave it out.")
        if include_all_users is not None and filter_by_cohort is None:
            raise InvalidRequest("include_all_users without a cohort", advice="Leave it out.")
        if (session_id is None) != (page == 0):
            raise InvalidRequest(
                f"session_id {session_id!r} with page {page!r}",
                advice="Page 0 begins a session; any other page needs the session_id that came with page 0.",
            )
        if session_id is not None:
            optional_strings(session_id=session_id)
            optional_integers(page=page)
        evaluated_at = parameters.aware("as_of_timestamp", as_of_timestamp or self.transport.now())
        form = {
            **optional_strings(distinct_id=distinct_id),
            **optional_integers(maximum=PAGE_SIZE, page_size=page_size),
            **optional_flags(include_all_users=include_all_users),
            **given(
                where=None if where is None else parameters.expression("where", where),
                distinct_ids=_strings("distinct_ids", distinct_ids),
                output_properties=_strings("output_properties", output_properties),
                filter_by_cohort=None if filter_by_cohort is None else json_string({"id": filter_by_cohort}),
                data_group_id=None if data_group_id is None else str(data_group_id),
                behaviors=None if behaviors is None else json_string(list(behaviors)),
                as_of_timestamp=None if behaviors is None else str(int(evaluated_at.timestamp())),
            ),
        }
        return self._pages(form, session_id, page, arrived or Arrived())

    def _pages(
        self, form: Mapping[str, str], session_id: str | None, number: int, arrived: Arrived
    ) -> Iterator[ProfilePage]:
        """Every page of one query, until all of `total` has arrived or a page is empty."""
        session = {} if session_id is None else {"session_id": session_id, "page": str(number)}
        while True:
            page = _page(self._json(form={**form, **session}))
            arrived.add(page, number)
            yield page
            if arrived.complete:
                return
            if not page.session_id:
                # To stop here would lose the following pages.
                state = f"{arrived.profiles:,} of {arrived.total:,} profiles" if arrived.total else "a full page"
                raise ReplyError(f"after page {number} ({state}) there is no session_id to ask for the next")
            number += 1
            session = {"session_id": page.session_id, "page": str(number)}


def _strings(name: str, values: Sequence[str] | None) -> str | None:
    return None if values is None else json_string(parameters.strings(name, values))


def _page(reply: Any) -> ProfilePage:
    if isinstance(reply, dict) and isinstance(reply.get("results"), list):
        reply = {**reply, "results": [_with_string_id(profile) for profile in reply["results"]]}
    return typed(reply, ProfilePage)


def _with_string_id(profile: Any) -> Any:
    """One document shows ids as integers; they are strings."""
    if isinstance(profile, dict) and isinstance(profile.get("$distinct_id"), int):
        return {**profile, "$distinct_id": str(profile["$distinct_id"])}
    return profile
