"""Mixpanel's events as Parquet files, on a disk or S3. Knows no Dagster and no HTTP.

`ingest` turns the bytes of an export into published days of an `EventsTable`. Everything else is a `Table`.
"""

from mixpanel_etl.extras import require

require("lake")

from mixpanel_etl.lake.day_file import ExportProvenance as ExportProvenance
from mixpanel_etl.lake.day_file import PublishedDay as PublishedDay
from mixpanel_etl.lake.errors import ColumnTaken as ColumnTaken
from mixpanel_etl.lake.errors import ConfigurationError as ConfigurationError
from mixpanel_etl.lake.errors import DaysHeldBack as DaysHeldBack
from mixpanel_etl.lake.errors import DaysMalformed as DaysMalformed
from mixpanel_etl.lake.errors import DaysMissing as DaysMissing
from mixpanel_etl.lake.errors import DaysMixed as DaysMixed
from mixpanel_etl.lake.errors import ExportError as ExportError
from mixpanel_etl.lake.errors import ForeignFile as ForeignFile
from mixpanel_etl.lake.errors import LakeError as LakeError
from mixpanel_etl.lake.errors import MalformedLine as MalformedLine
from mixpanel_etl.lake.errors import OutsideWindow as OutsideWindow
from mixpanel_etl.lake.errors import PartitionsHeldBack as PartitionsHeldBack
from mixpanel_etl.lake.errors import TerminatedEarly as TerminatedEarly
from mixpanel_etl.lake.errors import UnreadableFile as UnreadableFile
from mixpanel_etl.lake.event_columns import DESCRIPTIONS as DESCRIPTIONS
from mixpanel_etl.lake.event_columns import ColumnType as ColumnType
from mixpanel_etl.lake.event_columns import PromotedColumn as PromotedColumn
from mixpanel_etl.lake.event_columns import event_schema as event_schema
from mixpanel_etl.lake.events_table import EventsTable as EventsTable
from mixpanel_etl.lake.export_window import Window as Window
from mixpanel_etl.lake.external_statements import external_tables as external_tables
from mixpanel_etl.lake.ingest import ingest as ingest
from mixpanel_etl.lake.provenance import Provenance as Provenance
from mixpanel_etl.lake.sql import connect as connect
from mixpanel_etl.lake.storage import Storage as Storage
from mixpanel_etl.lake.table import Partition as Partition
from mixpanel_etl.lake.table import Table as Table
