"""Fixtures of the clock's tests."""

from tests.support.postgres import database, postgres

__all__ = ["database", "postgres"]
