"""The Feature Flags API: evaluation and management."""
