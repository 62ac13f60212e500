"""How the package is told to use a sandbox, and how other processes call its control plane."""

from __future__ import annotations

from mixpanel_etl.sandbox.engine.projects import Project

#: Header of every call of `/sandbox/...`; any value will do.
CONTROL_HEADER = "X-Mixpanel-Sandbox"


def environment(url: str, project: Project, prefix: str = "MIXPANEL_") -> dict[str, str]:
    """The variables that point the package at a project of the sandbox at `url`."""
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
