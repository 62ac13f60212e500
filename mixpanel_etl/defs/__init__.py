"""This project's own instances of the components."""
