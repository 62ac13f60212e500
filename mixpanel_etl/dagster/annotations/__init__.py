"""Annotations on Mixpanel's charts when jobs end."""
