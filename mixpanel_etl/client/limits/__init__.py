"""Mixpanel's rate limits, and the budgets that keep all processes of a deployment within them."""
