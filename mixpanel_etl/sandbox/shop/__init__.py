"""Sample events of a small web shop."""
