"""Requests of data subjects without Dagster: every step that is due, one after the other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mixpanel_etl.client import Clock, Mixpanel
from mixpanel_etl.gdpr import fulfilment
from mixpanel_etl.gdpr.confirmation import confirm
from mixpanel_etl.gdpr.delivery import Destination, deliver
from mixpanel_etl.gdpr.intake import IntakeResult, take_in
from mixpanel_etl.gdpr.jobs import submit
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.ledger_entries import Entry, Job
from mixpanel_etl.gdpr.polling import poll
from mixpanel_etl.gdpr.profile_lookups import Profiles
from mixpanel_etl.gdpr.progress import Progress, open_requests, progress_of
from mixpanel_etl.gdpr.request_expansion import expand_requests
from mixpanel_etl.sandbox import Sandbox
from mixpanel_etl.settings import Settings

NOW = datetime(2026, 2, 1, 9, tzinfo=UTC)


class Desk:
    """The ledger of a lake, and what is done with it at the sandbox's time. Waits pass in a moment."""

    def __init__(self, mixpanel: Sandbox, outbox: Path) -> None:
        mixpanel.clock.set(NOW, frozen=True)
        self.sandbox, self.outbox = mixpanel, outbox
        self.ledger = Ledger(Settings.load().lake)
        self.clock = Clock(
            sleep=lambda seconds: mixpanel.clock.advance(timedelta(seconds=seconds)),
            monotonic=lambda: mixpanel.clock.now().timestamp(),
            now=self.now,
        )
        self.client = Mixpanel(Settings.load(), clock=self.clock, deadline=60)

    def now(self) -> datetime:
        return self.sandbox.clock.now()

    def take(self, *rows: dict[str, Any], **options: Any) -> IntakeResult:
        """Take in requests, asked for today unless they say otherwise."""
        return take_in(self.ledger, [{"requested_at": NOW, **row} for row in rows], "desk", self.now(), **options)

    def ask(self, request_id: str, *ids: str, kind: str = "deletion", **row: Any) -> None:
        """Take in a request."""
        self.take({"request_id": request_id, "kind": kind, "distinct_ids": list(ids), **row})

    def expand(self, *, trusting: bool = True, **options: Any) -> list[Entry]:
        """Expand what is due; if trusting, a person confirms ids without a row at once."""
        due = [one.entry.request_id for one in self.open() if one.due(self.now()) == "requests"]
        entries, errors = expand_requests(self.ledger, due, self.directory, self.now(), **options)
        assert not errors
        if trusting:
            self.confirm({one.entry.request_id: () for one in self.open() if one.entry.in_doubt == ("never_seen",)})
        return entries

    def confirm(self, choices: Mapping[str, Collection[int]], by: str = "olga") -> list[Exception]:
        return confirm(self.ledger, lambda: self.client.gdpr, choices, self.now, by=by)[1]

    @property
    def directory(self) -> Profiles:
        return Profiles(self.ledger.lake, "profiles", "$email", lambda: nullcontext(self.client), self.now)

    def submit(self, **options: Any) -> tuple[list[Job], list[Exception]]:
        return submit(self.ledger, self.client.gdpr, [one.entry.request_id for one in self.open()], self.now, **options)

    def poll(self) -> list[Job]:
        return list(poll(self.ledger, self.client.gdpr, self.now))

    def work(self) -> list[Exception]:
        """All that is due, as the sensor and its runs do it; the errors."""
        errors = []
        self.expand()
        errors += self.submit()[1]
        self.poll()
        for step in ("outcomes", "erasures", "deliveries", "certificates"):
            due = [one for one in self.open() if one.due(self.now()) == step]
            if step == "outcomes":
                for one in due:
                    outcome = "SUCCESS" if one.state(self.now()) == "ended" else "FAILURE"
                    self.ledger.change(one.entry, lambda entry, outcome=outcome: entry.replace(outcome=outcome))  # type: ignore[misc]
            elif step == "erasures":
                fulfilment.erase_from_lake(self.ledger, due, self.now())
            elif step == "deliveries" and due:
                errors += deliver(self.ledger, self.client.gdpr, due, self.destination, self.now())[1]
            elif step == "certificates":
                jobs = self.ledger.jobs()
                for one in due:
                    fulfilment.close(self.ledger, fulfilment.certify(self.ledger, one, jobs, self.now()))
        return errors

    @property
    def destination(self) -> Destination:
        return Destination(str(self.outbox), timedelta(days=14))

    def open(self) -> list[Progress]:
        return open_requests(self.ledger)

    def state(self, request_id: str) -> str:
        (one,) = progress_of([self.ledger.entry(request_id)], self.ledger.jobs())
        return one.state(self.now())

    def pass_days(self, days: float) -> None:
        self.sandbox.clock.advance(timedelta(days=days))

    def creations(self) -> int:
        """How many jobs Mixpanel was asked to create, and did."""
        return sum(
            request.method == "POST" and "/v3.0" in request.path and request.status == 201
            for request in self.sandbox.requests
        )


@pytest.fixture
def desk(mixpanel: Sandbox, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(mixpanel, tmp_path / "outbox")
    yield desk
    desk.client.close()
