"""Mixpanel's APIs, one module or folder each, named as in `mixpanel_etl.client`."""
