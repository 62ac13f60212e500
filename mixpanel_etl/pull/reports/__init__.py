"""Mixpanel's own reports as tables: a kind is checked parameters, one query, and a documented schema.

`KINDS` has the kinds by name; `report_of` makes one of a kind and its parameters; `pull_range` and `pull_snapshot`
bring it into the lake.
"""

from mixpanel_etl.pull.published import Column as Column
from mixpanel_etl.pull.published import Published as Published
from mixpanel_etl.pull.reports.calendar import PartitionUnit as PartitionUnit
from mixpanel_etl.pull.reports.calendar import later as later
from mixpanel_etl.pull.reports.report import WITHHELD as WITHHELD
from mixpanel_etl.pull.reports.report import RangeReport as RangeReport
from mixpanel_etl.pull.reports.report import Report as Report
from mixpanel_etl.pull.reports.report import Snapshot as Snapshot
from mixpanel_etl.pull.reports.report_kinds import KINDS as KINDS
from mixpanel_etl.pull.reports.report_kinds import InvalidReport as InvalidReport
from mixpanel_etl.pull.reports.report_kinds import Problem as Problem
from mixpanel_etl.pull.reports.report_kinds import report_of as report_of
from mixpanel_etl.pull.reports.report_pull import pull_range as pull_range
from mixpanel_etl.pull.reports.report_pull import pull_snapshot as pull_snapshot
from mixpanel_etl.pull.reports.report_pull import report_table as report_table
