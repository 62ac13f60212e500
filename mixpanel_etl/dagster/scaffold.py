"""`dg scaffold defs mixpanel_etl.X folder`: a `defs.yaml` that loads as it is, with comments on what to change."""

from __future__ import annotations

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg


class TemplateScaffolder(dg.Scaffolder[Any]):
    """Copies `<component>.yaml`, which lies beside the component's module; a subclass has that of its base."""

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write `defs.yaml`, or append the document to the one that is there."""
        if request.scaffold_format != "yaml":
            dg.scaffold_component(request)
            return
        document = f"type: {request.type_name}\n\n{_template(request.type_name).read_text(encoding='utf-8')}"
        if request.append:
            with request.target_path.open("a", encoding="utf-8") as file:
                file.write(f"---\n{document}")
        else:
            (request.target_path / "defs.yaml").write_text(document, encoding="utf-8")


def _template(type_name: str) -> Path:
    module, _, name = type_name.rpartition(".")
    component: type = getattr(import_module(module), name)
    files = (Path(inspect.getfile(base)).with_name(f"{base.__name__}.yaml") for base in component.__mro__[:-1])
    return next(file for file in files if file.is_file())
