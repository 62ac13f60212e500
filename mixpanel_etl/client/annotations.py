"""Annotations on charts, and their tags. Source: mixpanel-api.md#annotations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import Group
from mixpanel_etl.client.operations.parameters import Day, given
from mixpanel_etl.client.operations.replies import Reply, plain, results, typed


class User(Reply, frozen=True, kw_only=True):
    """Who made it."""

    id: int | None = None
    first_name: str | None = None
    last_name: str | None = None


class Tag(Reply, frozen=True, kw_only=True):
    """What annotations can be sorted by."""

    id: int
    name: str | None = None
    project_id: int | None = None
    has_annotations: bool | None = None


class Annotation(Reply, frozen=True, kw_only=True):
    """A remark at a moment; `date` is `YYYY-MM-DD HH:MM:SS` in the project's zone, as far as one can tell."""

    id: int
    date: str | None = None
    description: str | None = None
    user: User | None = None
    tags: list[Tag] = msgspec.field(default_factory=list)


class Annotations(Group):
    """Remarks on charts. Writing needs the role of an analyst.

    Every method raises `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` when
    Mixpanel refuses.
    """

    group = "annotations"

    def list_annotations(self, from_date: Day | None = None, to_date: Day | None = None) -> list[Annotation]:
        """All annotations, or those from one day to another, both included."""
        endpoint = self._endpoint("list_annotations")
        query = given(
            fromDate=None if from_date is None else str(parameters.day("from_date", from_date, endpoint)),
            toDate=None if to_date is None else str(parameters.day("to_date", to_date, endpoint)),
        )
        if from_date is not None and to_date is not None:
            parameters.window(from_date, to_date, endpoint)
        return plain(results(self._call("list_annotations", query=query)), list[Annotation], endpoint=endpoint)

    def create_annotation(self, date: datetime, description: str, tags: Sequence[int] = ()) -> Annotation:
        """Annotate a moment.

        Args:
            date: when; without a time zone it is taken for project time. It can't be changed afterwards.
            description: the text.
            tags: ids, see `list_tags`.
        """
        endpoint = self._endpoint("create_annotation")
        if not isinstance(date, datetime):
            raise InvalidRequest(f"date is {date!r}", endpoint=endpoint, advice="Give a datetime.")
        local = date.astimezone(self._transport.settings.zone) if date.tzinfo else date
        body = {
            "date": f"{local:%Y-%m-%d %H:%M:%S}",
            "description": parameters.text("description", description, endpoint),
            "tags": _ids(tags, endpoint),
        }
        return self._one("create_annotation", json=body)

    def get_annotation(self, annotation_id: int) -> Annotation:
        """One annotation."""
        return self._one("get_annotation", path=self._id("get_annotation", annotation_id))

    def update_annotation(
        self, annotation_id: int, *, description: str | None = None, tags: Sequence[int] | None = None
    ) -> Annotation:
        """Change the text, or the tags, which are replaced as a whole."""
        endpoint = self._endpoint("update_annotation")
        body: dict[str, Any] = {}
        if description is not None:
            body["description"] = parameters.text("description", description, endpoint)
        if tags is not None:
            body["tags"] = _ids(tags, endpoint)
        if not body:
            raise InvalidRequest("nothing to change", endpoint=endpoint, advice="Give a description or tags.")
        return self._one("update_annotation", path=self._id("update_annotation", annotation_id), json=body)

    def delete_annotation(self, annotation_id: int) -> None:
        """Delete an annotation."""
        self._do("delete_annotation", path=self._id("delete_annotation", annotation_id))

    def list_tags(self) -> list[Tag]:
        """The tags of the project; perhaps only those that some annotation has (mixpanel-api.md#annotations)."""
        return plain(results(self._call("list_tags")), list[Tag], endpoint=self._endpoint("list_tags"))

    def create_tag(self, name: str) -> Tag:
        """Create a tag."""
        endpoint = self._endpoint("create_tag")
        reply = self._call("create_tag", json={"name": parameters.text("name", name, endpoint)})
        return typed(Tag, results(reply), endpoint=endpoint)

    def _one(self, name: str, **parts: Any) -> Annotation:
        return typed(Annotation, results(self._call(name, **parts)), endpoint=self._endpoint(name))

    def _id(self, name: str, annotation_id: int) -> dict[str, str]:
        return {"annotation_id": parameters.whole("annotation_id", annotation_id, self._endpoint(name))}


def _ids(tags: Sequence[int], endpoint: str) -> list[int]:
    for position, tag in enumerate(tags):
        parameters.whole(f"tags[{position}]", tag, endpoint)
    return list(tags)
