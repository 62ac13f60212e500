"""The Ingestion API: events, profiles, groups, lookup tables."""
