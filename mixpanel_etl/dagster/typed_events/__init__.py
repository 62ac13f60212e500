"""Events of one name with a typed column for each property."""
