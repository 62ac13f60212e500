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
