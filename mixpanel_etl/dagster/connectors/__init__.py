"""Syncs of Mixpanel's warehouse connectors."""
