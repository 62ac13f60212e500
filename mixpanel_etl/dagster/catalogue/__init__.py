"""Daily snapshots of what the project contains besides its data."""
