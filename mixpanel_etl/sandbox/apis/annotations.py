"""Annotations and their tags. Source: mixpanel-api.md#annotations."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from itertools import count
from typing import Any

import msgspec
from starlette.routing import Route

from mixpanel_etl.sandbox.apis.api_call import ANALYSTS, ApiCall, app_route, ok
from mixpanel_etl.sandbox.engine.query_parameters import read_date
from mixpanel_etl.sandbox.engine.responses import ApiError
from mixpanel_etl.sandbox.engine.state import State

_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
_PATH = "/projects/{project_id:int}/annotations"


def annotation_routes() -> list[Route]:
    """Tags first: `tags` must not be read as an annotation's id."""
    return [
        app_route("GET", f"{_PATH}/tags", list_tags, roles=ANALYSTS),
        app_route("POST", f"{_PATH}/tags", create_tag, roles=ANALYSTS),
        app_route("GET", _PATH, list_annotations),
        app_route("POST", _PATH, create_annotation, roles=ANALYSTS, status=201),
        app_route("GET", f"{_PATH}/{{annotation_id:int}}", get_annotation),
        app_route("PATCH", f"{_PATH}/{{annotation_id:int}}", update_annotation, roles=ANALYSTS),
        app_route("DELETE", f"{_PATH}/{{annotation_id:int}}", delete_annotation, roles=ANALYSTS),
    ]


class Annotation(msgspec.Struct):
    annotation_id: int
    date: str
    description: str
    user: dict[str, Any]
    tags: list[int]


class Annotations:
    """The annotations and tags of each project, by id. Ids are never used twice."""

    def __init__(self, _state: State) -> None:
        self.annotation_ids, self.tag_ids = count(1), count(1)
        self.annotations: dict[int, dict[int, Annotation]] = defaultdict(dict)
        self.tags: dict[int, dict[int, str]] = defaultdict(dict)


class _New(msgspec.Struct, forbid_unknown_fields=True):
    date: str
    description: str
    tags: list[int] = []


class _Changed(msgspec.Struct, forbid_unknown_fields=True):
    description: str | None = None
    tags: list[int] | None = None


class _NewTag(msgspec.Struct, forbid_unknown_fields=True):
    name: str


def list_annotations(call: ApiCall) -> object:
    """`fromDate` and `toDate` are inclusive; the dates of annotations have no time zone."""
    first = read_date(call.parameters, "fromDate").isoformat() if call.parameters.get("fromDate") else ""
    last = read_date(call.parameters, "toDate").isoformat() if call.parameters.get("toDate") else "9999"
    annotations = call.state.api_state(Annotations).annotations[call.project.project_id].values()
    chosen = [annotation for annotation in annotations if first <= annotation.date[:10] <= last]
    return ok([_shown(call, annotation) for annotation in sorted(chosen, key=lambda item: item.date)])


def create_annotation(call: ApiCall) -> object:
    new = call.json(_New)
    _check_date(new.date)
    _check_tags(call, new.tags)
    part = call.state.api_state(Annotations)
    annotation = Annotation(next(part.annotation_ids), new.date, new.description, _user(call), new.tags)
    part.annotations[call.project.project_id][annotation.annotation_id] = annotation
    return ok(_shown(call, annotation))


def get_annotation(call: ApiCall) -> object:
    return ok(_shown(call, _found(call)))


def update_annotation(call: ApiCall) -> object:
    """Description and tags; the date cannot be edited."""
    annotation, changed = _found(call), call.json(_Changed)
    if changed.tags is not None:
        _check_tags(call, changed.tags)
        annotation.tags = changed.tags
    if changed.description is not None:
        annotation.description = changed.description
    return ok(_shown(call, annotation))


def delete_annotation(call: ApiCall) -> object:
    annotation_id = _found(call).annotation_id
    del call.state.api_state(Annotations).annotations[call.project.project_id][annotation_id]
    return ok({"id": annotation_id})


def list_tags(call: ApiCall) -> object:
    """A bare array, as documented."""
    return [_shown_tag(call, tag_id) for tag_id in call.state.api_state(Annotations).tags[call.project.project_id]]


def create_tag(call: ApiCall) -> object:
    """The tag, bare as documented. A name that exists is 400."""
    part, name = call.state.api_state(Annotations), call.json(_NewTag).name
    tags = part.tags[call.project.project_id]
    if not name or name in tags.values():
        raise ApiError(400, f"A tag must have a unique name, not {name!r}")
    tag_id = next(part.tag_ids)
    tags[tag_id] = name
    return _shown_tag(call, tag_id)


def _found(call: ApiCall) -> Annotation:
    annotation_id: int = call.path["annotation_id"]
    annotation = call.state.api_state(Annotations).annotations[call.project.project_id].get(annotation_id)
    if annotation is None:
        raise ApiError(404, f"Annotation {annotation_id} does not exist")
    return annotation


def _check_date(text: str) -> None:
    try:
        datetime.strptime(text, _DATE_FORMAT)  # noqa: DTZ007 - the documented form has no time zone
    except ValueError:
        raise ApiError(400, f"date must be in the form YYYY-MM-DD HH:mm:ss, not {text!r}") from None


def _check_tags(call: ApiCall, tag_ids: list[int]) -> None:
    unknown = set(tag_ids) - call.state.api_state(Annotations).tags[call.project.project_id].keys()
    if unknown:
        raise ApiError(400, f"Tag {min(unknown)} does not exist")


def _user(call: ApiCall) -> dict[str, Any]:
    account = call.caller.account
    return {"id": account.account_id if account else 0, "first_name": call.caller.name, "last_name": ""}


def _shown(call: ApiCall, annotation: Annotation) -> dict[str, object]:
    names = call.state.api_state(Annotations).tags[call.project.project_id]
    return {
        "id": annotation.annotation_id,
        "date": annotation.date,
        "description": annotation.description,
        "user": annotation.user,
        "tags": [{"id": tag_id, "name": names[tag_id]} for tag_id in annotation.tags],
    }


def _shown_tag(call: ApiCall, tag_id: int) -> dict[str, object]:
    part, project_id = call.state.api_state(Annotations), call.project.project_id
    used = any(tag_id in annotation.tags for annotation in part.annotations[project_id].values())
    name = part.tags[project_id][tag_id]
    return {"id": tag_id, "name": name, "project_id": project_id, "has_annotations": used}
