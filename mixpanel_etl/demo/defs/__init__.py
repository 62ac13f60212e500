"""The shop's instances of the components."""
