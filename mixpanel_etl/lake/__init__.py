"""Mixpanel's events as Parquet files, on a disk or S3. Knows no Dagster and no HTTP.

`ingest` turns the bytes of an export into published days of an `EventsTable`. Everything else is a `Table`.
"""

from mixpanel_etl.extras import require

require("lake")

from mixpanel_etl.lake.day_file import ExportProvenance, PublishedDay
from mixpanel_etl.lake.errors import (
    ColumnTaken,
    ConfigurationError,
    DaysHeldBack,
    DaysMalformed,
    DaysMissing,
    DaysMixed,
    ExportError,
    ForeignFile,
    LakeError,
    MalformedLine,
    OutsideWindow,
    PartitionsHeldBack,
    TerminatedEarly,
    UnreadableFile,
)
from mixpanel_etl.lake.event_columns import DESCRIPTIONS, ColumnType, PromotedColumn, event_schema
from mixpanel_etl.lake.events_table import EventsTable
from mixpanel_etl.lake.export_window import Window
from mixpanel_etl.lake.external_statements import external_tables
from mixpanel_etl.lake.ingest import ingest
from mixpanel_etl.lake.lake import Lake
from mixpanel_etl.lake.provenance import Provenance
from mixpanel_etl.lake.sql import connect
from mixpanel_etl.lake.storage import Storage
from mixpanel_etl.lake.table import Partition, Table

__all__ = [
    "DESCRIPTIONS",
    "ColumnTaken",
    "ColumnType",
    "ConfigurationError",
    "DaysHeldBack",
    "DaysMalformed",
    "DaysMissing",
    "DaysMixed",
    "EventsTable",
    "ExportError",
    "ExportProvenance",
    "ForeignFile",
    "Lake",
    "LakeError",
    "MalformedLine",
    "OutsideWindow",
    "Partition",
    "PartitionsHeldBack",
    "PromotedColumn",
    "Provenance",
    "PublishedDay",
    "Storage",
    "Table",
    "TerminatedEarly",
    "UnreadableFile",
    "Window",
    "connect",
    "event_schema",
    "external_tables",
    "ingest",
]
