"""The events of one name with a typed column for each property, made of the lake's days and the Lexicon's schemas."""

from mixpanel_etl.pull.typed.columns import OTHER as OTHER
from mixpanel_etl.pull.typed.columns import Types as Types
from mixpanel_etl.pull.typed.columns import columns_of as columns_of
from mixpanel_etl.pull.typed.columns import descriptions as descriptions
from mixpanel_etl.pull.typed.columns import settled_columns as settled_columns
from mixpanel_etl.pull.typed.columns import typed_schema as typed_schema
from mixpanel_etl.pull.typed.drift import Drift as Drift
from mixpanel_etl.pull.typed.drift import drift as drift
from mixpanel_etl.pull.typed.events import TypedDay as TypedDay
from mixpanel_etl.pull.typed.events import survey as survey
from mixpanel_etl.pull.typed.events import type_day as type_day
from mixpanel_etl.pull.typed.events import types_of as types_of
from mixpanel_etl.pull.typed.schemas import declared_descriptions as declared_descriptions
from mixpanel_etl.pull.typed.schemas import declared_types as declared_types
from mixpanel_etl.pull.typed.seen import Seen as Seen
