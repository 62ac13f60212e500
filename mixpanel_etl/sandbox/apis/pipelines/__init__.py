"""The Data Pipelines API, which Mixpanel has deprecated."""
