"""Warehouse rows into Mixpanel: SQL in; events, profiles, groups and lookup tables out. Knows no Dagster."""
