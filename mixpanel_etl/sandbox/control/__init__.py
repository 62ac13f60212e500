"""`/sandbox/...`: over HTTP what `Sandbox` offers in Python, for other processes. Invented."""
