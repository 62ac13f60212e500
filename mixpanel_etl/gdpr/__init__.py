"""Requests of data subjects: Mixpanel's GDPR jobs, erasure from the lake, and the proof. Knows no Dagster.

The modules in the order of a request:

- in: `cells`, `requests` (what a row says), `rows` (of files and queries), `intake` (queries and folders)
- whose ids: `people`, `expansion`
- Mixpanel: `jobs`, `polling`
- the lake: `erasure`, with `files`, `documents`, `matching`, `tokens`; `suppression`, `hashing`
- retrieved data: `archives`, `delivery`
- the end: `fulfilment`, `certificate`

`ledger` remembers every request, `progress` works out what is due, `decisions` are a person's.
"""

from mixpanel_etl.extras import require

require("lake")
