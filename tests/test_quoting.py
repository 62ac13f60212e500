"""Of what others wrote, only the words of Mixpanel's own messages are repeated."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixpanel_etl.quoting import quoted, redacted

PERSON = "zqanna"


@pytest.mark.parametrize(
    "body",
    [
        b'[{"$distinct_id": "zqanna", "$properties": {"$email": "zqanna@example.com"}}]',
        b'{"results": [{"$properties": {"$name": "zqanna"}}]}',
        b'{"error": "unknown user zqanna"}',
        b'{"error": {"message": "zqanna@example.com is invalid"}}',
        b'{"error": "Invalid parameter", "details": {"parameter": "where", "message": "zqanna does not exist"}}',
        b'{"message": "profile of \'zqanna\' is invalid"}',
        b"zqanna zqanna@example.com not found",
        b"<html>zqanna</html>",
        b'{"event": "a", "properties": {"$user_id": "zqanna"',
    ],
)
def test_a_body_is_quoted_without_its_values(body: bytes) -> None:
    assert PERSON not in quoted(body)


@pytest.mark.parametrize(
    "text",
    [
        "Unable to authenticate request",
        "'properties.time' is invalid: must be specified as seconds since epoch",
        "Query rate limit exceeded. 6/5 queries running concurrently and 61/60 queries running in the last hour.",
        "Date range exceeds 90 days into the past",
        "to_date cannot be later than today",
    ],
)
def test_what_mixpanel_itself_says_is_repeated(text: str) -> None:
    assert redacted(text) == text


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(alphabet=" ,.:;'\"@-_/|()[]{}=<>"))
def test_a_value_is_masked_wherever_it_stands(before: str, after: str) -> None:
    assert PERSON not in redacted(f"{before}{PERSON}{after}")


@pytest.mark.parametrize("number", ["4711", "1234567890123", "+491701234567", "14b4e132"])
def test_a_number_that_can_be_an_id_is_masked(number: str) -> None:
    assert number not in redacted(f"user {number} is unknown")
