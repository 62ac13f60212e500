"""Mixpanel over HTTP, typed. Knows no Dagster, no Parquet, no SQL.

    with Mixpanel(Settings.load()) as mixpanel:
        with mixpanel.export(date(2026, 1, 1), date(2026, 1, 31)) as stream:
            for chunk in stream:
                ...
        mixpanel.query.segmentation("Purchase", date(2026, 1, 1), date(2026, 1, 31), on='properties["plan"]')

Every operation is in `catalogue`, and in docs/reference.md. What a group takes and gives is in the module of its name.
"""

from mixpanel_etl.client.errors import (
    BadRequest,
    BudgetExhausted,
    BudgetUnavailable,
    ConnectionFailed,
    CredentialError,
    DeadlineExceeded,
    FailedRecord,
    FutureDate,
    IncompleteResponse,
    InvalidRequest,
    MixpanelError,
    NotFound,
    NothingTaken,
    PayloadTooLarge,
    PermissionDenied,
    PlanError,
    RateLimited,
    RecordsRejected,
    ReplyError,
    ReplyTooLarge,
    ServerError,
    WrongCredentialKind,
)
from mixpanel_etl.client.http.gunzip import gunzip
from mixpanel_etl.client.http.response import Response
from mixpanel_etl.client.http.transport import RawReply, Timeouts
from mixpanel_etl.client.http.waiting import Clock, Wait
from mixpanel_etl.client.ingestion.events import Event
from mixpanel_etl.client.ingestion.profile_updates import GroupUpdate, UserUpdate
from mixpanel_etl.client.limits.budget import Usage
from mixpanel_etl.client.mixpanel import Mixpanel

__all__ = [
    "BadRequest",
    "BudgetExhausted",
    "BudgetUnavailable",
    "Clock",
    "ConnectionFailed",
    "CredentialError",
    "DeadlineExceeded",
    "Event",
    "FailedRecord",
    "FutureDate",
    "GroupUpdate",
    "IncompleteResponse",
    "InvalidRequest",
    "Mixpanel",
    "MixpanelError",
    "NotFound",
    "NothingTaken",
    "PayloadTooLarge",
    "PermissionDenied",
    "PlanError",
    "RateLimited",
    "RawReply",
    "RecordsRejected",
    "ReplyError",
    "ReplyTooLarge",
    "Response",
    "ServerError",
    "Timeouts",
    "Usage",
    "UserUpdate",
    "Wait",
    "WrongCredentialKind",
    "gunzip",
]
