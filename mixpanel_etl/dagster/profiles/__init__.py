"""Daily snapshots of profiles and cohorts."""
