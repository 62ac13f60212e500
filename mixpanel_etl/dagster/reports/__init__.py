"""Query API reports as tables."""
