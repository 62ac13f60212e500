"""The data dictionary, applied from files."""
