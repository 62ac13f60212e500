"""The Feature Flags API, and evaluation without a request."""
