"""A warning when the Dagster instance does not limit the pools that keep runs of one project apart."""

from __future__ import annotations

import dagster as dg

#: Pools that were warned of in this process.
_warned: set[str] = set()


def warn_without_limit() -> None:
    """Log a warning, once per process, if the pool of the running asset or check has no limit in this instance."""
    try:
        context = dg.OpExecutionContext.get()
    except dg.DagsterInvariantViolationError:  # a sensor, or no Dagster at all
        return
    pool, instance = context.op_def.pool, context.instance
    if pool is None or pool in _warned or not instance.event_log_storage.supports_global_concurrency_limits:
        return
    limited = {limit.name for limit in instance.event_log_storage.get_pool_limits()}
    if pool in limited or instance.get_concurrency_config().pool_config.default_pool_limit is not None:
        return
    _warned.add(pool)
    context.log.warning(
        f"pool {pool} has no limit: runs of this project share one rate limit and may work at the same time. Set "
        "concurrency.pools.default_limit: 1 in dagster.yaml (`mixpanel-etl init` lists all missing lines), or run "
        f"`dagster instance concurrency set {pool} 1`"
    )
