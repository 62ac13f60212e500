"""Daily snapshots of saved cohorts and their members."""
