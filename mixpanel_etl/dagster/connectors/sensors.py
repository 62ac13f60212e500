"""The sensor that follows triggered syncs while no run is held, and records how they ended."""

# Dagster reads the annotations of sensors, so they must be types, not strings.
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import msgspec

from mixpanel_etl.client import CredentialError, MixpanelError, NotFound, PermissionDenied
from mixpanel_etl.connectors.sync_state import Sync
from mixpanel_etl.connectors.syncs import Syncs
from mixpanel_etl.dagster.connectors.assets import ConnectorImport, sync_metadata
from mixpanel_etl.dagster.connectors.checks import CHECK as ROWS
from mixpanel_etl.dagster.recording import withheld_messages

if TYPE_CHECKING:
    from mixpanel_etl.dagster.connectors.component import MixpanelConnectors

CHECK = "sync_succeeded"

_TICK_SECONDS = 20.0  # of the 60 that Dagster gives a tick; one look may take 30 more
_LOOK_SECONDS = 10.0
_INTERVAL = 60

Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


class Cursor(msgspec.Struct):
    """What the sensor remembers.

    Attributes:
        reported: by import, the sync whose end was reported last. A sync is closed in the lake one tick later, when
            Dagster has stored the report, so that none is lost.
        said: by import, the last state that was logged.
        next: the import to begin with, if the last tick had no time for all.
    """

    reported: dict[str, str] = {}
    said: dict[str, str] = {}
    next: int | None = None

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """The cursor; a new one if it can't be read. Closed syncs are not reported again."""
        try:
            return msgspec.json.decode(text or "{}", type=cls)
        except msgspec.DecodeError:
            return cls()

    def written(self) -> str:
        return msgspec.json.encode(self).decode()


def sync_sensor(component: "MixpanelConnectors") -> dg.SensorDefinition:
    """Follows the syncs that are under way, every minute."""

    @dg.sensor(
        name=f"{component.name}_sensor",
        minimum_interval_seconds=_INTERVAL,
        target=dg.AssetSelection.assets(*(item.asset.key for item in component.imports)),
        description="Follows triggered syncs of warehouse connectors, and records how they ended.",
    )
    @withheld_messages()
    def follow(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor, events, ended = Cursor.read(context.cursor), list[Event](), list[ConnectorImport]()
        stop_at = time.monotonic() + _TICK_SECONDS
        with component.mixpanel.client(deadline=_LOOK_SECONDS) as mixpanel:
            syncs = component.syncs(mixpanel)
            for item in _in_turn(component.imports, cursor.next):
                cursor.next = item.id
                if time.monotonic() > stop_at:
                    break
                found = _look(context, syncs, item, cursor)
                events += found
                ended += [item] if any(isinstance(event, dg.AssetMaterialization) for event in found) else []
            else:
                cursor.next = None
        return dg.SensorResult(_counting_runs(ended), asset_events=events, cursor=cursor.written())

    return follow


def sync_succeeded(component: "MixpanelConnectors", item: ConnectorImport) -> dg.AssetChecksDefinition:
    """Whether the last sync of an import succeeded; the sensor evaluates it as well."""

    @dg.asset_check(
        name=CHECK, asset=item.asset.key, description="The last sync of the import that was followed SUCCEEDED."
    )
    @withheld_messages()
    def check() -> dg.AssetCheckResult:
        with component.mixpanel.client() as mixpanel:
            kept = component.syncs(mixpanel).kept(item.id)
        if kept is None:
            return dg.AssetCheckResult(passed=True, description="no sync is recorded yet")
        return dg.AssetCheckResult(passed=not kept.problem, description=str(kept), metadata=sync_metadata(kept))

    return check


def _in_turn(imports: Sequence[ConnectorImport], first: int | None) -> list[ConnectorImport]:
    """All imports, beginning with the first that the last tick had no time for."""
    ids = [item.id for item in imports]
    start = ids.index(first) if first in ids else 0
    return [*imports[start:], *imports[:start]]


def _look(context: dg.SensorEvaluationContext, syncs: Syncs, item: ConnectorImport, cursor: Cursor) -> list[Event]:
    key = str(item.id)
    kept = syncs.kept(item.id)
    if kept is None or kept.reported:
        return []
    if cursor.reported.get(key) == kept.id:
        syncs.close(kept)
        return []
    try:
        now = syncs.advance(kept)
    except NotFound as error:
        now = msgspec.structs.replace(kept, problem=f"it does not exist any more ({error.fact})")
    except (CredentialError, PermissionDenied):
        raise
    except MixpanelError as error:
        context.log.warning(f"warehouse import {item.id}: {error}; the next tick tries again")
        return []
    if cursor.said.get(key) != str(now):
        cursor.said[key] = str(now)
        context.log.info(str(now))
    if now.phase != "ended":
        return []
    cursor.reported[key] = now.id
    return _events(item, now)


def _counting_runs(ended: Sequence[ConnectorImport]) -> list[dg.RunRequest]:
    """A run that compares the rows, which may take the source longer than a tick has."""
    counted = [dg.AssetCheckKey(item.asset.key, ROWS) for item in ended if item.source_count]
    return [dg.RunRequest(asset_selection=[], asset_check_keys=counted)] if counted else []


def _events(item: ConnectorImport, sync: Sync) -> list[Event]:
    metadata = sync_metadata(sync)
    checked = dg.AssetCheckEvaluation(
        item.asset.key, CHECK, passed=not sync.problem, description=str(sync), metadata=metadata
    )
    if sync.problem:
        return [checked]
    return [dg.AssetMaterialization(item.asset.key, metadata=metadata), checked]
