"""Attributes that several components have, as YAML and Python write them."""

# Dagster reads the annotations of components, so they must be types, not strings.
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import dagster as dg

from mixpanel_etl.dagster.internals import DagsterOpSpec
from mixpanel_etl.dagster.mistakes import located
from mixpanel_etl.dagster.resource import MixpanelResource
from mixpanel_etl.lake import ColumnType, ConfigurationError, PromotedColumn
from mixpanel_etl.settings import DEFAULT_PREFIX


class RetryPolicyModel(dg.Model, dg.Resolvable):
    """A `dg.RetryPolicy` in YAML: number of retries, and seconds between them."""

    max_retries: int = 1
    delay: float | None = None


def _retry_policy(context: dg.ResolutionContext, model: RetryPolicyModel | None) -> dg.RetryPolicy | None:
    if model is None:
        return None
    return dg.RetryPolicy(
        max_retries=context.resolve_value(model.max_retries, int), delay=context.resolve_value(model.delay, float)
    )


class OpSpec(DagsterOpSpec):
    """Dagster's `OpSpec` (name, tags, description, pool, backfill policy) with a retry policy."""

    retry_policy: Annotated[
        dg.RetryPolicy | None,
        dg.Resolver(
            _retry_policy,
            model_field_type=RetryPolicyModel | None,
            description="Retries within the run. Errors that a retry can't fix are not retried.",
            examples=[{"max_retries": 2, "delay": 300}],
        ),
    ] = None

    def arguments(
        self,
        *,
        name: str,
        pool: str | None = None,
        backfill_policy: dg.BackfillPolicy | None = None,
        retry_policy: dg.RetryPolicy | None = None,
    ) -> dict[str, Any]:
        """Keyword arguments of `dg.multi_asset`: what is set here, and these defaults.

        Args:
            name: name of the op.
            pool: Dagster pool of the op.
            backfill_policy: backfill policy of the asset.
            retry_policy: retries within the run.
        """
        return {
            "name": self.name or name,
            "op_tags": self.tags,
            "description": self.description,
            "pool": self.pool or pool,
            "backfill_policy": self.backfill_policy or backfill_policy,
            "retry_policy": self.retry_policy or retry_policy,
        }


Op = Annotated[OpSpec, dg.Resolver.default(description="Tags, pool, backfill policy and retry policy of the assets.")]


class ResourceModel(dg.Model, dg.Resolvable):
    """A `MixpanelResource` or `WarehouseResource` in YAML."""

    env_prefix: Annotated[
        str,
        dg.Resolver.default(
            description="Prefix of the environment variables; use one per project.", examples=["MIXPANEL_EU_"]
        ),
    ] = DEFAULT_PREFIX


def resource_resolver(
    name: str, resource: type[dg.ConfigurableResource[Any]], description: str, *, optional: bool = False
) -> dg.Resolver:
    """How YAML writes a resource: by the prefix of its variables, or as a template variable.

    Args:
        name: name of the attribute.
        resource: class with the field `env_prefix`.
        description: description of the attribute.
        optional: whether the attribute may be null.
    """

    @located
    def resolve(context: dg.ResolutionContext, model: ResourceModel | str | None) -> Any:
        if model is None:
            return None
        if not isinstance(model, str):
            return resource.model_validate({"env_prefix": context.resolve_value(model.env_prefix, str)})
        found = context.resolve_value(model, object)
        if isinstance(found, resource):
            return found
        raise ConfigurationError(
            f"{name} is {model!r}; it must be a mapping, e.g. {{env_prefix: MIXPANEL_EU_}}, or a template variable "
            f"that returns a {resource.__name__}"
        )

    return dg.Resolver(
        resolve,
        model_field_type=ResourceModel | str | None if optional else ResourceModel | str,
        description=description,
        examples=[{"env_prefix": "MIXPANEL_EU_"}],
    )


Project = Annotated[
    MixpanelResource,
    resource_resolver(
        "mixpanel",
        MixpanelResource,
        "The Mixpanel project: prefix of its environment variables, or a template variable that returns a "
        "MixpanelResource of your own.",
    ),
]

Lake = Annotated[
    str | None,
    dg.Resolver.default(description="Path or s3:// URI of the lake; default: the variable MIXPANEL_LAKE."),
]


@located
def _day(context: dg.ResolutionContext, value: str | None) -> date | None:
    day = context.resolve_value(value, str)
    try:
        return date.fromisoformat(day) if day else None
    except (TypeError, ValueError):
        raise ConfigurationError(f"start_date is {day!r}; it must be a date like 2026-01-31") from None


StartDate = Annotated[
    date | None,
    dg.Resolver(
        _day,
        model_field_type=str | None,
        description="First day of the partitions, YYYY-MM-DD; default: the variable MIXPANEL_START_DATE.",
        examples=["2026-01-01"],
    ),
]

CronSchedule = Annotated[
    str,
    dg.Resolver.default(
        description="Cron expression of the schedule, in the time zone of the partitions.", examples=["0 3 * * *"]
    ),
]

Asset = Annotated[
    dg.ResolvedAssetSpec, dg.Resolver.default(description="Key, group, owners, tags and description of the asset.")
]


KeyPrefix = Annotated[
    str,
    dg.Resolver.default(
        description="Prefix of the assets' keys; use one per project.", examples=["mixpanel/eu/reports"]
    ),
]

Folder = Annotated[
    str, dg.Resolver.default(description="Folder of the lake in which each asset has a table; use one per project.")
]


def prefixed(key_prefix: str, name: str) -> dg.AssetKey:
    """Key of one of a component's assets.

    Args:
        key_prefix: prefix with slashes, e.g. `mixpanel/reports`.
        name: last part of the key.
    """
    return dg.AssetKey([*key_prefix.split("/"), name])


class ColumnModel(dg.Model, dg.Resolvable):
    """A property with a typed column of its own."""

    property: str
    type: ColumnType
    name: str = ""


@located
def _column(context: dg.ResolutionContext, model: ColumnModel) -> PromotedColumn:
    return PromotedColumn(
        context.resolve_value(model.property, str), model.type, context.resolve_value(model.name, str)
    )


Column = Annotated[PromotedColumn, dg.Resolver(_column, model_field_type=ColumnModel)]


def read_sql(name: str, folder: Path) -> str:
    """The content of a SQL file that YAML names.

    Args:
        name: a path; a relative one is looked for beside the `defs.yaml`, then in every folder above it.
        folder: folder of the `defs.yaml`.

    Raises:
        ConfigurationError: no such file exists there.
    """
    for place in (folder, *folder.resolve().parents):
        if (place / name).is_file():
            return (place / name).read_text()
    raise ConfigurationError(f"{name}: no such file in {folder} or a folder above it")


def sql_file(description: str, example: str) -> dg.Resolver:
    """How YAML writes SQL: by the path of its file.

    Args:
        description: description of the attribute.
        example: path of a file.
    """

    def resolve(context: dg.ResolutionContext, value: str | None) -> str | None:
        name = context.resolve_value(value, str)
        return read_sql(name, context.resolve_source_relative_path(".")) if name else None

    return dg.Resolver(resolve, model_field_type=str | None, description=description, examples=[example])
