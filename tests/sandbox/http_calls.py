"""Exported lines to load, and requests to the sandbox."""

import json
from collections.abc import Callable
from typing import Any

import requests

from mixpanel_etl.sandbox import CONTROL_HEADER, Sandbox

HttpCall = Callable[..., requests.Response]


def exported_line(event: str = "Login", time: int = 1_704_067_200, **properties: object) -> bytes:
    """An exported line; `time` is 2024-01-01 00:00 UTC by default, `insert_id` becomes `$insert_id`."""
    if "insert_id" in properties:
        properties["$insert_id"] = properties.pop("insert_id")
    members = {"time": time, "distinct_id": "u1", **properties}
    return json.dumps({"event": event, "properties": members}, ensure_ascii=False).encode()


def exported_events(response: requests.Response) -> list[dict[str, Any]]:
    """The events of an export."""
    assert response.status_code == 200, response.text
    return [json.loads(text) for text in response.content.split(b"\n") if text]


def control_call(sandbox: Sandbox, method: str, path: str = "", **options: Any) -> requests.Response:
    """A request to the control API."""
    headers = {CONTROL_HEADER: "1", **options.pop("headers", {})}
    return requests.request(method, f"{sandbox.url}/sandbox{path}", headers=headers, timeout=60, **options)
