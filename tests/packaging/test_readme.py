"""The Python of the README runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake import EventsTable
from mixpanel_etl.pull import pull_events
from mixpanel_etl.sandbox import Sandbox

from ..conftest import FIRST
from ..lakehouse import days_from

README = Path(__file__).parents[2] / "README.md"


def test_its_examples_run(
    mixpanel: Sandbox, client: Mixpanel, table: EventsTable, capsys: pytest.CaptureFixture[str]
) -> None:
    days = days_from(FIRST, 3)
    mixpanel.generate(300, days[0], days[-1])
    list(pull_events(client, table, days))
    for example in re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE):
        exec(example, {})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Mixpanel(project_id=12345, region='us')"
    assert said[1] == "3"
    assert said[2] == "['events']"
    assert int(said[3]) == table.scan(days[1:]).collect().height
    assert said[5].startswith("unknown table 'reports/signups' of the lake ")
