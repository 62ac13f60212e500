"""Attributes that several components have."""

from typing import Annotated

import dagster as dg

EnvPrefix = Annotated[
    str,
    dg.Resolver.default(
        description="What the project's environment variables begin with; another project has another.",
        examples=["MIXPANEL_EU_"],
    ),
]
Lake = Annotated[
    str | None, dg.Resolver.default(description="Path or s3:// URI; by default the variable MIXPANEL_LAKE.")
]
