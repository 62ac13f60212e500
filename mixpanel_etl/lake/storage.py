"""Where the lake's files are: a local disk or S3."""

from __future__ import annotations

from pathlib import Path

from mixpanel_etl.lake.bucket import S3
from mixpanel_etl.lake.disk import Disk
from mixpanel_etl.lake.errors import ConfigurationError
from mixpanel_etl.lake.storage_protocol import ABSENT, Draft, Storage

__all__ = ["ABSENT", "S3", "Disk", "Draft", "Storage", "storage"]


def storage(uri: str) -> Storage:
    """The storage behind a path, a `file://` or an `s3://` URI.

    S3 takes credentials, region and endpoint from the environment, as botocore does (`AWS_ACCESS_KEY_ID`,
    `AWS_PROFILE`, `AWS_ENDPOINT_URL`...).

    Raises:
        ConfigurationError: another scheme, or an S3 URI without a bucket or with credentials.
    """
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Disk(Path(uri).expanduser().absolute())
    if scheme == "file":
        return Disk(Path(rest))
    if "@" in rest.partition("/")[0]:
        raise ConfigurationError(
            "the URI of a lake must not have credentials in it: S3 takes them from the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)"
        )
    if scheme == "s3" and rest.strip("/"):
        return S3(rest.strip("/"))
    raise ConfigurationError(f"lake {uri!r}: use a path, file:///path or s3://bucket/prefix")
