"""What can be wrong with a push, told before anything is sent."""

from __future__ import annotations


class PushError(Exception):
    """The push as a whole cannot go on: its mapping does not fit the query, or it would take away too much.

    The text names what is wrong, and what to do.
    """
