"""Reserved ids: placeholders that programs send without an id. Source: mixpanel-api.md#reserved-ids."""

from __future__ import annotations

#: In lower case. Mixpanel takes none of them as `distinct_id` or `$insert_id`; exports of old events have them.
RESERVED_IDS = frozenset(
    (
        *("00000000-0000-0000-0000-000000000000", "anon", "anonymous", "nil", "none", "null", "n/a", "na"),
        *("undefined", "unknown", "<nil>", "0", "-1", "true", "false", "[]", "{}"),
    )
)


def is_reserved(text: str) -> bool:
    """Whether a `distinct_id` or `$insert_id` is empty or one of the reserved ids, in any case."""
    return (bare := text.strip().lower()) == "" or bare in RESERVED_IDS
