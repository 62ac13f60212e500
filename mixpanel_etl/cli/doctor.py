"""`mixpanel-etl doctor`: is everything there that a run needs?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import requests
import typer

from mixpanel_etl.cli.shared import console, exit_on_error
from mixpanel_etl.client import Mixpanel, MixpanelError, PermissionDenied
from mixpanel_etl.client.http.regions import url_of
from mixpanel_etl.lake import EventsTable, LakeError
from mixpanel_etl.settings import Settings, SettingsError

_LINKS = {
    "original": "merge, identify and alias link ids",
    "legacy": "alias links ids, merge and identify are ignored",
    "simplified": "user_id and device_id of events link ids; pushes of links and identity events are rejected",
}
_CLOCK_TOLERANCE = timedelta(seconds=60)


class _Wrong(Exception):
    """A check did not pass; the text says what to do."""


def doctor() -> None:
    """Check credentials, region, clock, lake and budget, and say what to fix. Exits with 1 if anything is wrong."""
    with exit_on_error():
        settings = Settings.load()
    wrong = 0
    with Mixpanel(settings, deadline=30) as mixpanel:
        for name, check in _checks(settings, mixpanel):
            try:
                console.print(f"[green]ok   [/] {name}: {check()}", highlight=False, soft_wrap=True)
            except (_Wrong, MixpanelError, LakeError, SettingsError, OSError) as error:
                wrong += 1
                console.print(f"[red]wrong[/] {name}: ", end="")
                console.print(str(error), markup=False, highlight=False, soft_wrap=True)
    if wrong:
        raise typer.Exit(1)


def _checks(settings: Settings, mixpanel: Mixpanel) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "settings", lambda: _settings(settings)
    yield "credentials", lambda: _credentials(settings, mixpanel)
    yield "identities", lambda: _identities(mixpanel)
    yield "clock", lambda: _clock(settings)
    yield "lake", lambda: _lake(settings)
    yield "lake conditions", lambda: _conditions(settings)
    for budget in ("export", "query"):
        yield f"{budget} budget", lambda budget=budget: _budget(mixpanel, budget)  # type: ignore[misc]


def _settings(settings: Settings) -> str:
    settings.require_credentials()
    host = settings.base_url or f"region {settings.region}"
    return f"project {settings.project_id}, {host}, {settings.timezone}, export days cut in {settings.export_zone}"


def _credentials(settings: Settings, mixpanel: Mixpanel) -> str:
    if not settings.service_account_secret:
        return "not asked: only a service account can ask who it is"
    mixpanel.me()
    return f"Mixpanel knows the service account {settings.service_account_username}"


def _identities(mixpanel: Mixpanel) -> str:
    try:
        id_merge = mixpanel.identity.id_merge()
    except PermissionDenied:
        return "not asked: importing needs the role owner or admin"
    return f"{id_merge.capitalize()} ID Merge: {_LINKS[id_merge]}"


def _clock(settings: Settings) -> str:
    url = url_of("app", "/me", region=settings.region, base_url=settings.base_url)
    # Without credentials: any reply, also an error, carries the server's time.
    try:
        answer = requests.get(url, timeout=10, allow_redirects=False)
    except requests.RequestException:
        host = urlsplit(url).netloc
        raise _Wrong(f"{host} cannot be reached; check the network, proxy variables and MIXPANEL_REGION") from None
    if "Date" not in answer.headers:
        return "not compared: the server does not tell its time"
    apart = abs(parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC))
    if apart > _CLOCK_TOLERANCE:
        raise _Wrong(f"{apart.total_seconds():.0f} s apart from Mixpanel's; set this machine's clock (NTP)")
    return f"within {max(1, round(apart.total_seconds()))} s of Mixpanel's"


def _lake(settings: Settings) -> str:
    table = EventsTable(settings.lake)
    table.storage.probe()
    return f"{table.uri} can be written, {len(table.days())} days are there"


def _conditions(settings: Settings) -> str:
    EventsTable(settings.lake).storage.probe_conditions()
    return "a file is written only as it was read: several processes can work on the lake"


def _budget(mixpanel: Mixpanel, name: str) -> str:
    usage = mixpanel.budget(name)
    if not usage.left:
        raise _Wrong(f"used up by this deployment until {usage.free_at:%H:%M:%S} UTC")
    return f"{usage.left} of {usage.limit} {usage.unit} left in this hour"
