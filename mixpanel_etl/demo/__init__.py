"""The demonstration: a small shop in a sandbox, and definitions that fit only it."""
