"""Mixpanel over HTTP, typed. Knows no Dagster, no Parquet, no SQL.

with Mixpanel(Settings.load()) as mixpanel:
with mixpanel.export(date(2026, 1, 1), date(2026, 1, 31)) as stream:
for chunk in stream:
...
"""

from mixpanel_etl.client.budget import Usage
from mixpanel_etl.client.errors import (
    BadRequest,
    BudgetExhausted,
    BudgetUnavailable,
    ConnectionFailed,
    CredentialError,
    DeadlineExceeded,
    FutureDate,
    IncompleteResponse,
    InvalidRequest,
    MixpanelError,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    PlanError,
    RateLimited,
    ReplyError,
    ServerError,
    WrongCredentialKind,
)
from mixpanel_etl.client.gunzip import gunzip
from mixpanel_etl.client.mixpanel import Mixpanel
from mixpanel_etl.client.response import Response
from mixpanel_etl.client.transport import Timeouts
from mixpanel_etl.client.waiting import Clock, Wait

__all__ = [
    "BadRequest",
    "BudgetExhausted",
    "BudgetUnavailable",
    "Clock",
    "ConnectionFailed",
    "CredentialError",
    "DeadlineExceeded",
    "FutureDate",
    "IncompleteResponse",
    "InvalidRequest",
    "Mixpanel",
    "MixpanelError",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "PlanError",
    "RateLimited",
    "ReplyError",
    "Response",
    "ServerError",
    "Timeouts",
    "Usage",
    "Wait",
    "WrongCredentialKind",
    "gunzip",
]
