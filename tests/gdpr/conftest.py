"""Fixtures of these tests."""

from .desk import desk

__all__ = ["desk"]
