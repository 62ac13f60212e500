"""`dg scaffold defs mixpanel_etl.X folder`: a `defs.yaml` that loads as it is, with comments on what to change."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg


class TemplateScaffolder(dg.Scaffolder[Any]):
    """Copies `<component>.yaml` and the files that it names, e.g. `<component>.orders.sql` as `orders.sql`.

    They lie beside the component's module; a subclass has those of its base.
    """

    def scaffold(self, request: dg.ScaffoldRequest[Any]) -> None:
        """Write `defs.yaml`, or append the document to the one that is there; files that exist are not changed."""
        if request.scaffold_format != "yaml":
            dg.scaffold_component(request)
            return
        template = _template(request.type_name)
        document = f"type: {request.type_name}\n\n{template.read_text(encoding='utf-8')}"
        folder = request.target_path.parent if request.append else request.target_path
        if request.append:
            with request.target_path.open("a", encoding="utf-8") as file:
                file.write(f"---\n{document}")
        else:
            (folder / "defs.yaml").write_text(document, encoding="utf-8")
        for name, content in _files_beside(template):
            if not (folder / name).exists():
                (folder / name).write_text(content, encoding="utf-8")


def _template(type_name: str) -> Path:
    module, _, name = type_name.rpartition(".")
    component: type = getattr(import_module(module), name)
    files = (Path(inspect.getfile(base)).with_name(f"{base.__name__}.yaml") for base in component.__mro__[:-1])
    return next(file for file in files if file.is_file())


def _files_beside(template: Path) -> Iterator[tuple[str, str]]:
    """Name and content of the files that a template names."""
    for file in sorted(template.parent.glob(f"{template.stem}.*.*")):
        yield file.name.removeprefix(f"{template.stem}."), file.read_text(encoding="utf-8")
