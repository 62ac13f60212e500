"""The check of service accounts: none expires soon."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg

from mixpanel_etl.pull.published import Published

EXPIRY = "none_expires_soon"


def expiry(listed: Published, warned: timedelta, now: datetime) -> dg.AssetCheckResult:
    """Warns when a service account expires soon, or has expired.

    Args:
        listed: snapshot of the service accounts.
        warned: time before the expiry from which the check warns.
        now: present time, with a time zone.
    """
    limited = [account for account in listed.rows.to_pylist() if account["expires"]]
    soon = sorted(
        (account["expires"], account["account_id"]) for account in limited if account["expires"] <= now + warned
    )
    # By their ids: an account's name may be that of a person, and erasure doesn't reach Dagster.
    named = "; ".join(f"account {number}: {expires:%Y-%m-%d %H:%M} UTC" for expires, number in soon)
    advice = "Create another account, put it into the settings, and delete this one: an expiry can't be moved."
    return dg.AssetCheckResult(
        check_name=EXPIRY,
        passed=not soon,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{named}. {advice}" if soon else "None.",
        metadata={"accounts": listed.rows.num_rows, "that_expire": len(limited), "soon": len(soon)},
    )
