"""Service accounts and the projects of which they are members. Source: mixpanel-api.md#credentials, #service-accounts.

An account belongs to one organization, in which it has a role, and has a role in each of its projects. Accounts
that the projects declare exist from the start; the Service Accounts API adds others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Protocol

ROLES = ("owner", "admin", "analyst", "consumer")
_FIRST_ID = 5001
_SECRET_LENGTH = 32
_DECLARED_ON = datetime(2024, 1, 1, tzinfo=UTC)


class Declared(Protocol):
    """An account as a project declares it."""

    @property
    def username(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def expires(self) -> datetime | None: ...


@dataclass
class Account:
    """A service account. `role`: its role in the organization; `roles`: its role in each project."""

    account_id: int
    organization_id: int
    username: str
    secret: str = field(repr=False)
    role: str
    expires: datetime | None
    created: datetime
    creator: int | None = None
    last_used: datetime | None = None
    roles: dict[int, str] = field(default_factory=dict)

    def is_valid(self, now: datetime) -> bool:
        return self.expires is None or now < self.expires


class Accounts:
    """The service accounts of all organizations of a sandbox."""

    def __init__(self) -> None:
        self._ids = count(_FIRST_ID)
        self._by_id: dict[int, Account] = {}

    def declare(self, organization_id: int, project_id: int, declared: Declared) -> None:
        """Add a member to a project; the same username and secret in another project is the same account."""
        account = self._matching(declared.username, declared.secret)
        if account is None:
            account = self.create(
                organization_id, declared.username, role=declared.role, expires=declared.expires, now=_DECLARED_ON
            )
            account.secret = declared.secret
        elif _rank(declared.role) < _rank(account.role):
            account.role = declared.role
        account.roles[project_id] = declared.role

    def create(
        self,
        organization_id: int,
        username: str,
        *,
        role: str,
        expires: datetime | None,
        now: datetime,
        creator: int | None = None,
    ) -> Account:
        """A new account with a new secret, without projects."""
        account_id = next(self._ids)
        seed = f"{organization_id}:{account_id}:{username}"
        secret = hashlib.sha256(seed.encode()).hexdigest()[:_SECRET_LENGTH]
        account = Account(account_id, organization_id, username, secret, role, expires, created=now, creator=creator)
        self._by_id[account_id] = account
        return account

    def delete(self, account_id: int) -> None:
        self._by_id.pop(account_id)

    def get(self, organization_id: int, account_id: int) -> Account | None:
        account = self._by_id.get(account_id)
        return account if account and account.organization_id == organization_id else None

    def of_organization(self, organization_id: int) -> list[Account]:
        return [account for account in self._by_id.values() if account.organization_id == organization_id]

    def of_project(self, project_id: int) -> list[Account]:
        return [account for account in self._by_id.values() if project_id in account.roles]

    def authenticate(self, username: str, secret: str, now: datetime) -> Account | None:
        """The account with these credentials, noted as used now; None if they are unknown or expired."""
        account = self._matching(username, secret)
        if account is None or not account.is_valid(now):
            return None
        account.last_used = now
        return account

    def _matching(self, username: str, secret: str) -> Account | None:
        return _first(item for item in self._by_id.values() if (item.username, item.secret) == (username, secret))


def _first(accounts: Iterable[Account]) -> Account | None:
    return next(iter(accounts), None)


def _rank(role: str) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)
