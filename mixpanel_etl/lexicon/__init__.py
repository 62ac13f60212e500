"""The Lexicon as files: a directory of YAML files that is compared with the project's data dictionary, and applied.

Knows the client, but neither Dagster nor the lake. Source: mixpanel-api.md#lexicon.
"""

from mixpanel_etl.extras import require

require("lake")

from mixpanel_etl.lexicon.differences import DropsData as DropsData
from mixpanel_etl.lexicon.differences import EntityChange as EntityChange
from mixpanel_etl.lexicon.differences import Plan as Plan
from mixpanel_etl.lexicon.differences import compare as compare
from mixpanel_etl.lexicon.lexicon_errors import LexiconError as LexiconError
from mixpanel_etl.lexicon.lexicon_errors import LexiconFilesError as LexiconFilesError
from mixpanel_etl.lexicon.plan_text import lines as lines
from mixpanel_etl.lexicon.project_dictionary import Applied as Applied
from mixpanel_etl.lexicon.project_dictionary import apply as apply
from mixpanel_etl.lexicon.project_dictionary import fetch as fetch
from mixpanel_etl.lexicon.schema_files import Described as Described
from mixpanel_etl.lexicon.schema_files import read_directory as read_directory
from mixpanel_etl.lexicon.schema_files import write_entries as write_entries
