"""Requests of data subjects: Mixpanel's GDPR jobs, erasure from the lake, and the proof. Knows no Dagster.

The modules in the order of a request:

- in: `id_cells`, `data_subject_requests` (what a row says), `source_rows` (of files and queries), `intake`
- ids of the person: `linked_ids`, `profile_lookups`, `request_expansion`
- Mixpanel: `jobs`, `polling`
- the lake: `erasure`, with `lake_files`, `erased_ids`; `suppression_list`, `hashed_ids`
- retrieved data: `archives`, `delivery`
- the end: `fulfilment`, `certificate`

`ledger` remembers every request, `progress` works out what is due, `decisions` are a person's.
"""

from mixpanel_etl.extras import require

require("lake")

from mixpanel_etl.gdpr.erasure import Erasure, erase
from mixpanel_etl.gdpr.hashed_ids import hashed
from mixpanel_etl.gdpr.ledger import Ledger
from mixpanel_etl.gdpr.linked_ids import Person, expand, expand_together
from mixpanel_etl.gdpr.redaction import GdprError
from mixpanel_etl.gdpr.suppression_list import Suppression

__all__ = [
    "Erasure",
    "GdprError",
    "Ledger",
    "Person",
    "Suppression",
    "erase",
    "expand",
    "expand_together",
    "hashed",
]
