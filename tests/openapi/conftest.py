"""The sandbox and the clients of the round trips, which are driven again here, with a recorder between the two."""

from ..client.conftest import clock, connect, make_mixpanel, make_settings, running_sandbox, server

__all__ = ["clock", "connect", "make_mixpanel", "make_settings", "running_sandbox", "server"]
