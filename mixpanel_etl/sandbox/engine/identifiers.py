"""Identifiers that are the same in every run."""

from __future__ import annotations

import hashlib
from uuid import UUID


def stable_uuid(seed: str) -> str:
    """A UUIDv4 made from a seed."""
    return str(UUID(bytes=hashlib.sha256(seed.encode()).digest()[:16], version=4))
