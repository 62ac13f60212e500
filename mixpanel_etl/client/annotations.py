"""Annotations on charts, and their tags. Source: mixpanel-api.md#annotations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from mixpanel_etl.client.errors import InvalidRequest
from mixpanel_etl.client.operations import parameters
from mixpanel_etl.client.operations.api import JSON, Api, Operations
from mixpanel_etl.client.operations.parameters import Day, given
from mixpanel_etl.client.operations.replies import Reply

operation = Operations("app", "annotations", prefix="/projects/{project_id}/annotations")


class AnnotationUser(Reply, frozen=True, kw_only=True):
    """The author of an annotation."""

    id: int | None = None
    first_name: str | None = None
    last_name: str | None = None


class AnnotationTag(Reply, frozen=True, kw_only=True):
    """A tag of annotations."""

    id: int
    name: str | None = None
    project_id: int | None = None
    has_annotations: bool | None = None


class Annotation(Reply, frozen=True, kw_only=True):
    """A remark on charts; `date` is `YYYY-MM-DD HH:MM:SS`, presumably in the project's zone."""

    id: int
    date: str | None = None
    description: str | None = None
    user: AnnotationUser | None = None
    tags: list[AnnotationTag] = msgspec.field(default_factory=list)


class Annotations(Api):
    """Remarks on charts. Writing needs the role of an analyst.

    Every method raises `InvalidRequest` when a parameter can't work, and one of the kinds in `client.errors` if
    Mixpanel rejects the request.
    """

    @operation("GET")
    def list_annotations(self, from_date: Day | None = None, to_date: Day | None = None) -> list[Annotation]:
        """All annotations, or those from one day to another, both included."""
        query = given(
            fromDate=None if from_date is None else str(parameters.day("from_date", from_date)),
            toDate=None if to_date is None else str(parameters.day("to_date", to_date)),
        )
        if from_date is not None and to_date is not None:
            parameters.window(from_date, to_date)
        return self._result(list[Annotation], query=query)

    @operation("POST", sends=JSON)
    def create_annotation(self, date: datetime, description: str, tags: Sequence[int] = ()) -> Annotation:
        """Create an annotation.

        Args:
            date: time of the annotation, in project time if it has no time zone. It can't be changed afterwards.
            description: text of the annotation.
            tags: ids of tags, see `list_tags`.
        """
        if not isinstance(date, datetime):
            raise InvalidRequest(f"date is {date!r}", advice="Give a datetime.")
        local = date.astimezone(self.transport.settings.zone) if date.tzinfo else date
        body = {
            "date": f"{local:%Y-%m-%d %H:%M:%S}",
            "description": parameters.string("description", description),
            "tags": parameters.integers("tags", tags),
        }
        return self._result(Annotation, json=body)

    @operation("GET", "/{annotation_id}")
    def get_annotation(self, annotation_id: int) -> Annotation:
        """One annotation."""
        return self._result(Annotation, path=_path(annotation_id))

    @operation("PATCH", "/{annotation_id}", sends=JSON)
    def update_annotation(
        self, annotation_id: int, *, description: str | None = None, tags: Sequence[int] | None = None
    ) -> Annotation:
        """Change the description, or replace all tags."""
        body: dict[str, Any] = {}
        if description is not None:
            body["description"] = parameters.string("description", description)
        if tags is not None:
            body["tags"] = parameters.integers("tags", tags)
        if not body:
            raise InvalidRequest("nothing to change", advice="Give a description or tags.")
        return self._result(Annotation, path=_path(annotation_id), json=body)

    @operation("DELETE", "/{annotation_id}")
    def delete_annotation(self, annotation_id: int) -> None:
        """Delete an annotation."""
        self._done(path=_path(annotation_id))

    @operation("GET", "/tags")
    def list_tags(self) -> list[AnnotationTag]:
        """The tags of the project; perhaps only tags that an annotation has (mixpanel-api.md#annotations)."""
        return self._result(list[AnnotationTag])

    @operation("POST", "/tags", sends=JSON)
    def create_tag(self, name: str) -> AnnotationTag:
        """Create a tag."""
        return self._result(AnnotationTag, json={"name": parameters.string("name", name)})


def _path(annotation_id: int) -> dict[str, int]:
    return {"annotation_id": parameters.integer("annotation_id", annotation_id)}
