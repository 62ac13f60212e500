"""How requests reach Mixpanel: addresses, credentials, bodies, retries, and errors with a type."""
