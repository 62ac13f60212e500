"""Annotations on Mixpanel's charts, each written once. Source: mixpanel-api.md#annotations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from mixpanel_etl.client import Mixpanel
from mixpanel_etl.lake.leases import lease
from mixpanel_etl.lake.storage import storage

WAIT_SECONDS = 30.0  # a sensor's tick has a minute, and comes again


def annotate(mixpanel: Mixpanel, time: datetime, description: str, tags: Sequence[str] = ()) -> bool:
    """Annotate a time, unless an annotation says the same of the same second already.

    So it can be called again after a failure that leaves open whether the annotation arrived.

    Args:
        mixpanel: the project.
        time: time of the annotation (aware); shown in project time.
        description: the text.
        tags: names of tags. Missing tags are created.

    Returns:
        Whether the annotation is new.

    Raises:
        MixpanelError: one of the kinds in `client.errors`.
        LeaseHeld: another process annotates the same project.
    """
    local = time.astimezone(mixpanel.settings.zone)
    second, text = f"{local:%Y-%m-%d %H:%M:%S}", description.strip()
    with lease(
        storage(mixpanel.settings.lake), f"annotations/{mixpanel.settings.project_id}", wait=WAIT_SECONDS
    ) as held:
        for present in mixpanel.annotations.list_annotations(local.date(), local.date()):
            if present.date == second and (present.description or "").strip() == text:
                return False
        tag_ids = list(_tag_ids(mixpanel, tags))
        held.check()
        mixpanel.annotations.create_annotation(time, text, tag_ids)
    return True


def _tag_ids(mixpanel: Mixpanel, names: Sequence[str]) -> Iterator[int]:
    present = {tag.name: tag.id for tag in mixpanel.annotations.list_tags()} if names else {}
    for name in dict.fromkeys(names):
        yield present[name] if name in present else mixpanel.annotations.create_tag(name).id
