"""The events of one name with a typed column for each property, made of the lake's days and the Lexicon's schemas."""

from mixpanel_etl.pull.typed.declared_types import declared_descriptions as declared_descriptions
from mixpanel_etl.pull.typed.declared_types import declared_types as declared_types
from mixpanel_etl.pull.typed.drift import Drift as Drift
from mixpanel_etl.pull.typed.drift import drift as drift
from mixpanel_etl.pull.typed.seen_types import Seen as Seen
from mixpanel_etl.pull.typed.typed_columns import OTHER as OTHER
from mixpanel_etl.pull.typed.typed_columns import Types as Types
from mixpanel_etl.pull.typed.typed_columns import columns_of as columns_of
from mixpanel_etl.pull.typed.typed_columns import descriptions as descriptions
from mixpanel_etl.pull.typed.typed_columns import settled_columns as settled_columns
from mixpanel_etl.pull.typed.typed_columns import typed_schema as typed_schema
from mixpanel_etl.pull.typed.typed_days import TypedDay as TypedDay
from mixpanel_etl.pull.typed.typed_days import survey as survey
from mixpanel_etl.pull.typed.typed_days import type_day as type_day
from mixpanel_etl.pull.typed.typed_days import types_of as types_of
