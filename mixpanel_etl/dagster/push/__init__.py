"""Warehouse rows into Mixpanel."""
