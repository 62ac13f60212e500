"""Requests and replies, as they are on the wire, against Mixpanel's OpenAPI files."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mixpanel_etl.client.http.regions import FAMILIES
from mixpanel_etl.client.operations.catalogue import CATALOGUE
from mixpanel_etl.sandbox import Sandbox
from mixpanel_etl.settings import Region

from .checks import findings
from .descriptions import FILES, described, descriptions
from .deviations import DEVIATIONS, NOT_CALLED, NOT_DESCRIBED, Deviation
from .driver import ROUND_TRIPS, Connect, exchanged
from .strict import Finding

REGIONS: tuple[Region, ...] = ("us", "eu", "in")


@pytest.mark.parametrize("test", ROUND_TRIPS, ids=lambda test: test.__name__)
def test_what_goes_over_the_wire_is_as_described(
    connect: Connect, running_sandbox: Sandbox, caplog: pytest.LogCaptureFixture, test: Callable[..., None]
) -> None:
    exchanges = exchanged(test, connect, running_sandbox, caplog=caplog)
    for name in test.covers:  # type: ignore[attr-defined]
        own = [exchange for exchange in exchanges if exchange.operation == name]
        assert any(exchange.status < 300 for exchange in own), f"{name} never succeeded"
        found = {finding for exchange in own for finding in findings(name, exchange)}
        known = [deviation for deviation in DEVIATIONS if name in deviation.names]
        assert _unknown(found, known) == [], f"{name} is not as its file says"
        assert _needless(found, known) == [], f"{name} is as its file says"


def _unknown(found: set[Finding], known: list[Deviation]) -> list[Finding]:
    return sorted(finding for finding in found if not any(deviation.allows(finding) for deviation in known))


def _needless(found: set[Finding], known: list[Deviation]) -> list[Deviation]:
    return [deviation for deviation in known if not any(deviation.allows(finding) for finding in found)]


def test_every_operation_is_checked_once() -> None:
    covered = [name for test in ROUND_TRIPS for name in test.covers]  # type: ignore[attr-defined]
    assert sorted(covered) == sorted(CATALOGUE)


def test_every_deviation_is_of_operations_that_exist() -> None:
    patterns = [pattern for deviation in DEVIATIONS for pattern in deviation.operations.split()]
    assert [one for one in patterns if not Deviation(one, "", "").names] == []


def test_the_operations_without_a_description_are_those_that_are_listed() -> None:
    assert {name for name in CATALOGUE if not described(name)} == NOT_DESCRIBED.keys()


def test_every_described_operation_is_in_the_catalogue() -> None:
    files = {file for group in FILES.values() for file in group}
    everything = {description for file in files for description in descriptions(file)}
    called = {description for name in CATALOGUE for description in described(name).values()}
    assert {description.fragment or description.path for description in everything - called} == NOT_CALLED.keys()


def test_every_operation_is_on_the_servers_that_are_described() -> None:
    assert [name for name in CATALOGUE if name not in NOT_DESCRIBED and not _is_on_its_servers(name)] == []


def _is_on_its_servers(name: str) -> bool:
    home = FAMILIES[CATALOGUE[name].family]
    ours = {f"https://{home.host(region)}{home.prefix}" for region in REGIONS}
    return all(description.servers == ours for description in described(name).values())
