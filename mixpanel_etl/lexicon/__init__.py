"""The Lexicon as files: a directory of YAML files that is compared with the project's data dictionary, and applied.

Knows the client, but neither Dagster nor the lake. Source: mixpanel-api.md#lexicon.
"""

from mixpanel_etl.extras import require

require("lake")

from mixpanel_etl.lexicon.differences import DropsData, EntityChange, Plan, compare
from mixpanel_etl.lexicon.lexicon_errors import LexiconError, LexiconFilesError
from mixpanel_etl.lexicon.plan_text import lines
from mixpanel_etl.lexicon.project_dictionary import Applied, apply, fetch
from mixpanel_etl.lexicon.schema_files import Described, read_directory, write_entries

__all__ = [
    "Applied",
    "Described",
    "DropsData",
    "EntityChange",
    "LexiconError",
    "LexiconFilesError",
    "Plan",
    "apply",
    "compare",
    "fetch",
    "lines",
    "read_directory",
    "write_entries",
]
