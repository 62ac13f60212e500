"""`/sandbox/...`: the Python API of `Sandbox` over HTTP, for other processes. Invented."""
