"""Pages of profiles: an answer ends when all of `total` has arrived or a page is empty, not with a short page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mixpanel_etl.client import Arrived, Mixpanel, ReplyError

from .scripted import Answer, ScriptedServer


def page(first: int, profiles: int, total: int | None, **more: Any) -> Answer:
    results = [{"$distinct_id": f"u{n}", "$properties": {}} for n in range(first, first + profiles)]
    said = {} if total is None else {"total": total}
    return Answer(200, json.dumps({"results": results, "session_id": "s", "page_size": 1000, **said, **more}).encode())


@pytest.mark.parametrize(
    ("sizes", "total", "announced"),
    [
        ([1000, 999, 501], 2500, 2500),
        ([1000, 999, 500, 0], 2500, 2500),  # one was deleted meanwhile
        ([1000, 0], 2500, 2500),
        ([1000, 1000, 1000, 0], 1000, None),  # `total` is of the page, as one document has it
        ([1000, 999, 501, 0], None, None),
        ([700], 700, 700),
        ([1000, 1000, 0], 2000, 2000),  # as long as a page is full, more may follow, regardless of `total`
        ([700, 300], 1000, 1000),
        ([0], 0, 0),
    ],
)
def test_a_short_page_ends_nothing(
    mixpanel: Mixpanel, server: ScriptedServer, sizes: list[int], total: int | None, announced: int | None
) -> None:
    server.answers(*(page(sum(sizes[:number]), size, total) for number, size in enumerate(sizes)))
    arrived = Arrived()
    found = [profile.distinct_id for each in mixpanel.query.engage(arrived=arrived) for profile in each.results]
    assert found == [f"u{n}" for n in range(sum(sizes))]
    assert len(server.seen) == len(sizes)
    assert (arrived.profiles, arrived.total, arrived.complete) == (sum(sizes), announced, True)


def test_pages_that_cannot_be_asked_for_are_an_error(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    server.answers(page(0, 999, 2500, session_id=None))
    with pytest.raises(ReplyError, match="999 of 2,500 profiles"):
        list(mixpanel.query.engage())


def test_half_a_character_in_a_value_is_read_as_it_was_sent(mixpanel: Mixpanel, server: ScriptedServer) -> None:
    body = (
        b'{"results": [{"$distinct_id": "u", "$properties": {"plan": "nice \\ud83d"}}], "total": 1, "session_id": "s"}'
    )
    server.answers(Answer(200, body))
    ((profile,),) = [each.results for each in mixpanel.query.engage()]
    assert profile.properties == {"plan": "nice \ud83d"}


@pytest.mark.parametrize("body", [b'["\\ud83d", NaN]', b'["\\ud83d"', b"\xff\\u"])
def test_what_is_not_json_stays_an_error_beside_half_a_character(
    mixpanel: Mixpanel, server: ScriptedServer, body: bytes
) -> None:
    server.answers(Answer(200, body))
    with pytest.raises(ReplyError, match="not JSON"):
        mixpanel.query.event_names()
