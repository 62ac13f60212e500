"""Syncs of Mixpanel's warehouse connectors: triggered once, found in the history, followed to their end.

Mixpanel does not report the result of a trigger: no other reply has the id that it returns, and the effect of a second
trigger is not documented. So a run is ours if the history did not have it before the trigger. If the answer is lost,
the run is searched in the history, and the trigger is not sent again. A sync is kept in the lake before its trigger, so
that the next process continues after a crash. Source: mixpanel-api.md#connectors.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from mixpanel_etl.client import (
    BudgetExhausted,
    Clock,
    DeadlineExceeded,
    ImportRun,
    Mixpanel,
    MixpanelError,
    RateLimited,
)
from mixpanel_etl.connectors.sync_state import Sync, failed, new_run, newest, starts, updated_from
from mixpanel_etl.lake.leases import Lease, lease
from mixpanel_etl.lake.storage import Storage, storage

#: A run that was triggered is in the history within this time, or never.
APPEARS_WITHIN = timedelta(minutes=15)
#: Mixpanel's own limit for the query is 20 hours.
ENDS_WITHIN = timedelta(hours=24)
_PAUSES = (5.0, 60.0)  # seconds between looks, growing
_AFTER_429 = timedelta(minutes=10)
_TAKEN_UP_WITHIN = timedelta(hours=1)
_CLOCKS_APART = timedelta(minutes=1)  # Mixpanel's clock and the clock of the source's writer


@dataclass(frozen=True)
class Syncs:
    """The syncs of a project.

    Args:
        mixpanel: the project; its credentials must be an admin's or owner's.
        lake: path or URI of the lake, which keeps requested syncs in `connector_syncs/`.
        ends_within: maximum duration of a sync, waiting included.
        clock: the time, for tests to replace.
    """

    mixpanel: Mixpanel
    lake: str
    ends_within: timedelta = ENDS_WITHIN
    clock: Clock = field(default_factory=Clock)

    def request(self, import_id: int, by: str, written_at: datetime | None = None) -> Sync:
        """Trigger a sync, or take up one that covers it.

        A sync covers it that is running, or whose end was not recorded (its process was killed), if it began after the
        source was last written. While an older one runs, or the five triggers of an hour are used up, it is not
        triggered yet: `advance` it then.

        Args:
            import_id: id of the warehouse import.
            by: name of the requesting run; the same run takes up its own sync again, regardless of its age.
            written_at: time of the last write to the source (aware), if known.

        Raises:
            MixpanelError: Mixpanel rejected the request, or could not be asked. Nothing was triggered.
        """
        sync = Sync(
            import_id=import_id,
            id=uuid.uuid4().hex,
            requested_by=by,
            requested_at=self.clock.now(),
            written_at=written_at,
        )
        return self._start(sync)

    def advance(self, sync: Sync) -> Sync:
        """Read the state of a sync once, and trigger it when it is due.

        Raises:
            MixpanelError: Mixpanel could not be asked.
        """
        if sync.phase == "ended":
            return sync
        now = self._look(sync) if sync.sent_at else self._start(sync)
        if now.phase == "ended":
            self._note(now)
        return now

    def follow(self, sync: Sync, tell: Callable[[str], None]) -> Sync:
        """Advance a sync until it has ended, with growing pauses.

        Failures of Mixpanel are retried until `ends_within` is over.

        Args:
            sync: the sync.
            tell: called with each change and failure.
        """
        tell(str(sync))
        pause = _PAUSES[0]
        while sync.phase != "ended":
            self.clock.sleep(pause)
            pause = min(1.5 * pause, _PAUSES[1])
            try:
                now = self.advance(sync)
            except MixpanelError as error:
                if not (error.retryable or isinstance(error, DeadlineExceeded)):
                    raise
                tell(f"{error.fact}; looks again")
                now = self._in_time(sync)
            if str(now) != str(sync):
                tell(str(now))
                pause = _PAUSES[0]
            sync = now
        return sync

    def kept(self, import_id: int) -> Sync | None:
        """The last requested sync, as the lake has it; None if there is none."""
        try:
            return msgspec.json.decode(self._storage.read(self._name(import_id))[0], type=Sync)
        except FileNotFoundError:
            return None

    def close(self, sync: Sync) -> None:
        """Note that the end of a sync was reported, so that no process takes it up again."""
        self._note(msgspec.structs.replace(sync, reported=True))

    def _note(self, sync: Sync) -> None:
        """Keep the state of a sync, unless another was requested since."""

        def change(content: bytes | None) -> bytes | None:
            kept = msgspec.json.decode(content, type=Sync) if content else None
            return msgspec.json.encode(sync) if kept and kept.id == sync.id else None

        self._storage.update(self._name(sync.import_id), change)

    def _start(self, sync: Sync) -> Sync:
        if sync.not_before and self.clock.now() < sync.not_before:
            return self._in_time(sync)
        if self.mixpanel.warehouse_connectors.get_import(sync.import_id).paused:
            return failed(sync, "it is paused. Resume it in Mixpanel, then materialize this asset again")
        with self._alone(sync) as held:
            earlier = self.kept(sync.import_id)
            if earlier and earlier.id != sync.id and self._covers(earlier, sync):
                taken_up = self._look(earlier)
                if not taken_up.problem:
                    return taken_up
            history = self.mixpanel.warehouse_connectors.history(sync.import_id)
            running = newest(history, "RUNNING")
            if running is not None:
                return self._queued_behind(sync, running, history)
            usage = self.mixpanel.budget("warehouse_sync")
            if not usage.left:
                return self._waiting(sync, f"the {usage.limit} triggers of an hour are used up", usage.free_at)
            held.check()
            return self._trigger(sync, history)

    def _covers(self, earlier: Sync, sync: Sync) -> bool:
        if earlier.sent_at is None or earlier.reported:
            return False
        if earlier.requested_by == sync.requested_by:
            return True
        return earlier.sent_at > (sync.written_at or self.clock.now() - _TAKEN_UP_WITHIN)

    def _queued_behind(self, sync: Sync, running: ImportRun, history: list[ImportRun]) -> Sync:
        """Take up the running sync, or wait for its end: the effect of a second trigger is not documented."""
        began = running.started_at
        if sync.written_at and (began is None or began < sync.written_at + _CLOCKS_APART):
            since = f"since {began:%Y-%m-%d %H:%M:%S} UTC, " if began else ""
            return self._waiting(sync, f"one is running {since}which may not have seen what was written to the source")
        seen = starts(history)
        if running.start_time in seen:
            seen.remove(running.start_time)
        taken = msgspec.structs.replace(sync, seen=seen, adopted=True, sent_at=self.clock.now(), waits_for=None)
        self._keep(taken)
        return updated_from(history, taken, running)

    def _trigger(self, sync: Sync, history: list[ImportRun]) -> Sync:
        sent = msgspec.structs.replace(sync, seen=starts(history), sent_at=self.clock.now(), waits_for=None)
        self._keep(sent)  # before it is sent: after a crash the next process looks for its run first
        try:
            run_id = self.mixpanel.warehouse_connectors.manual_sync(sync.import_id)
        except (RateLimited, BudgetExhausted) as error:
            until = getattr(error, "free_at", None) or self.clock.now() + _AFTER_429
            return self._waiting(sync, f"Mixpanel allows five triggers an hour ({error.message})", until)
        except MixpanelError as error:
            if not error.may_have_arrived:
                self._keep(msgspec.structs.replace(sync, reported=True))
                raise
            answered = msgspec.structs.replace(sent, unanswered=error.fact)
        else:
            answered = msgspec.structs.replace(sent, run_id=run_id, answered_at=self.clock.now())
        self._keep(answered)
        return answered

    def _waiting(self, sync: Sync, reason: str, until: datetime | None = None) -> Sync:
        waiting = msgspec.structs.replace(sync, waits_for=reason, not_before=until)
        self._keep(waiting)
        return self._in_time(waiting)

    def _look(self, sync: Sync) -> Sync:
        history = self.mixpanel.warehouse_connectors.history(sync.import_id)
        run = new_run(history, sync)
        if run is not None:
            return self._in_time(updated_from(history, sync, run))
        if sync.start_time is not None:
            return failed(sync, "its run is no longer among the 30 of the history: see Mixpanel for how it ended")
        if sync.sent_at and self.clock.now() - sync.sent_at < APPEARS_WITHIN:
            return sync
        return self._never_appeared(sync)

    def _never_appeared(self, sync: Sync) -> Sync:
        minutes = f"{APPEARS_WITHIN.total_seconds() / 60:.0f} minutes"
        if self.mixpanel.warehouse_connectors.get_import(sync.import_id).paused:
            return failed(sync, f"no run began within {minutes}, and it is paused by now. Resume it in Mixpanel")
        if sync.unanswered:
            return failed(
                sync,
                f"the trigger was not answered ({sync.unanswered}) and no run began within {minutes}, so it did not "
                "arrive. Materialize this asset again to trigger it again",
                may_retry=True,
            )
        if sync.answered_at is None and sync.run_id is None and not sync.adopted:
            return failed(
                sync,
                f"the process was killed while it triggered, and no run began within {minutes}. Materialize this "
                "asset again to trigger it again",
                may_retry=True,
            )
        return failed(
            sync,
            f"Mixpanel accepted the trigger{f' (run {sync.run_id})' if sync.run_id else ''}, but no run began within "
            f"{minutes}. See in Mixpanel whether a volume alert holds the import, and whether its source can be "
            "reached",
        )

    def _in_time(self, sync: Sync) -> Sync:
        since = sync.sent_at or sync.requested_at
        if sync.phase == "ended" or self.clock.now() - since < self.ends_within:
            return sync
        hours = f"{self.ends_within.total_seconds() / 3600:.3g} hours"
        what = "still RUNNING" if sync.phase == "running" else f"not begun ({sync.waits_for or 'no news of it'})"
        return failed(
            sync,
            f"{what} after {hours}. See in Mixpanel what holds it; a later materialization takes up a sync that runs. "
            "Give it more time with `timeout_hours`",
        )

    @property
    def _storage(self) -> Storage:
        return storage(self.lake)

    def _name(self, import_id: int) -> str:
        return f"connector_syncs/project={self.mixpanel.settings.project_id}/import={import_id}/sync.json"

    def _alone(self, sync: Sync) -> AbstractContextManager[Lease]:
        """No other process triggers the same import meanwhile."""
        project_id = self.mixpanel.settings.project_id
        return lease(self._storage, f"warehouse_sync/{project_id}/{sync.import_id}", run=sync.requested_by)

    def _keep(self, sync: Sync) -> None:
        self._storage.write(self._name(sync.import_id), msgspec.json.encode(sync))
