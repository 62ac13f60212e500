"""Data subject requests: intake, Mixpanel's jobs, the lake's erasure, deliveries, certificates."""
