"""The environment variables that configure the package for a sandbox, and the header of its control API."""

from __future__ import annotations

from mixpanel_etl.sandbox.engine.projects import Project

#: Header of every request to `/sandbox/...`; its value is ignored.
CONTROL_HEADER = "X-Mixpanel-Sandbox"


def environment(url: str, project: Project, prefix: str = "MIXPANEL_") -> dict[str, str]:
    """The environment variables that configure the package for a project of the sandbox at `url`."""
    values: dict[str, object] = {
        "BASE_URL": url,
        "PROJECT_ID": project.project_id,
        "SERVICE_ACCOUNT_USERNAME": project.account.username,
        "SERVICE_ACCOUNT_SECRET": project.account.secret,
        "PROJECT_TOKEN": project.token,
        "WORKSPACE_ID": project.workspace_id,
        "OAUTH_TOKEN": project.oauth_token,
        "TIMEZONE": project.timezone,
        "CREATED_BEFORE_2023": str(project.created_before_2023).lower(),
    }
    return {prefix + name: str(value) for name, value in values.items()}
