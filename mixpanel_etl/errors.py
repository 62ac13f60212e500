"""The root of all errors of this package. Each package below declares its own kinds beside the code that raises them.

MixpanelEtlError
├── MixpanelError
│   ├── BadRequest
│   │   ├── RecordsRejected
│   │   └── FutureDate
│   ├── CredentialError
│   ├── PlanError
│   ├── PermissionDenied
│   ├── NotFound
│   ├── PayloadTooLarge
│   ├── RateLimited
│   ├── ServerError
│   ├── ConnectionFailed
│   ├── IncompleteResponse
│   ├── ReplyError
│   │   ├── ReplyTooLarge
│   │   └── BatchRejected
│   ├── InvalidRequest
│   ├── WrongCredentialKind
│   ├── DeadlineExceeded
│   │   └── BudgetExhausted
│   └── BudgetUnavailable
├── SettingsError
├── MissingExtra
├── FormatTooNew
├── LakeError
│   ├── ConfigurationError
│   │   └── ColumnTaken
│   ├── ExportError
│   │   ├── TerminatedEarly
│   │   ├── MalformedLine
│   │   ├── DaysMixed
│   │   └── OutsideWindow
│   ├── DaysMalformed
│   ├── DaysHeldBack
│   ├── DaysMissing
│   ├── DayShrinks
│   ├── PartitionsHeldBack
│   ├── ForeignFile
│   ├── UnreadableFile
│   ├── WriteConflict
│   ├── ConditionsIgnored
│   ├── LockTimeout
│   ├── LeaseHeld
│   ├── LeaseLost
│   ├── DamagedSalt
│   └── Unerasable
├── UnexpectedError
├── ExpressionError
├── EvaluationError
├── InvalidReport
├── GdprError
│   ├── BadArchive
│   ├── LedgerError
│   ├── IntakeError
│   ├── NotErased
│   ├── NotCreated
│   └── MaybeCreated
├── WarehouseError
├── LexiconError
│   ├── LexiconFilesError
│   └── DropsData
├── PushError
├── BackfillError
└── EventLineError

`MixpanelError` says by itself whether Mixpanel may have done what was asked (`may_have_arrived`) and whether the same
request can succeed later (`retryable`). Disk and network trouble of the lake is an `OSError`, as Python raises it.
"""

from __future__ import annotations

from collections.abc import Sequence


class MixpanelEtlError(Exception):
    """Base of every error that this package raises on purpose. Its message says what is wrong and what to do."""


#: Errors whose message is written for the person who runs a command or a job; everything else is a bug.
EXPECTED_ERRORS = (MixpanelEtlError, OSError)


def describe(error: BaseException) -> str:
    """An error in a message or in Dagster: its kind and what it says."""
    return f"{type(error).__name__}: {error}"


#: Items that a message lists before it says how many more there are.
MAX_LISTED = 10


def listed(items: Sequence[object]) -> str:
    """Items in a message: `a, b and 3 more`."""
    more = f" and {len(items) - MAX_LISTED} more" if len(items) > MAX_LISTED else ""
    return ", ".join(map(str, items[:MAX_LISTED])) + more
