"""Daily snapshots of profiles."""
