"""Requests of data subjects: Mixpanel's GDPR jobs, erasure from the lake, and the proof. Knows no Dagster."""
