"""The Query API, one module a report."""
