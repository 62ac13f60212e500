"""One exchange against what the files say of its operation."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import parse_qs, unquote

from mixpanel_etl.client.operations.catalogue import CATALOGUE

from .descriptions import OPERATORS, Description, described
from .recording import Exchange
from .strict import Finding, Schema, check, decoded, field, like, strict

FORM, NDJSON = "application/x-www-form-urlencoded", "application/x-ndjson"

# In words at the parameter `verbose`, and in no schema; `error` is null on success as seen (mixpanel-api.md#track).
VERBOSE: Schema = {
    "type": "object",
    "properties": {"status": {"enum": [0, 1]}, "error": {"type": ["string", "null"]}},
    "required": ["status"],
    "additionalProperties": False,
}


def findings(name: str, exchange: Exchange) -> set[Finding]:
    """What in the request and the reply is not as described; nothing for an operation that no file describes."""
    found: set[Finding] = set()
    for description, body in _parts(name, exchange):
        found |= _credentials(name, description) | _parameters(description, exchange)
        found |= _body(description, exchange, body) | _reply(description, exchange)
    return found


def _parts(name: str, exchange: Exchange) -> list[tuple[Description, Any]]:
    """The described operation and the body. A batch of updates is one of each for each operator in it."""
    known = described(name)
    if name not in OPERATORS:
        return [(description, _content(exchange)) for description in known.values()]
    parts = []
    for update in _content(exchange):
        (operator,) = update.keys() & OPERATORS[name].keys()
        parts.append((known[OPERATORS[name][operator]], [update]))
    return parts


def _content(exchange: Exchange) -> Any:
    if not exchange.sent:
        return None
    match exchange.sent_kind:
        case "application/json":
            return json.loads(exchange.sent)
        case "application/x-ndjson":
            return [json.loads(line) for line in exchange.sent.splitlines()]
        case "application/x-www-form-urlencoded":
            return parse_qs(exchange.sent.decode(), keep_blank_values=True)
        case _:
            return exchange.sent.decode()


def _credentials(name: str, description: Description) -> set[Finding]:
    operation = CATALOGUE[name]
    in_header = operation.credentials_in == "header"
    taken = {kind.__name__ for kind in operation.accepts} if in_header else {""}
    return {Finding(f"credentials {kind}".rstrip(), "are not in the file") for kind in taken - description.credentials}


def _parameters(description: Description, exchange: Exchange) -> set[Finding]:
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(description.path))
    in_path = re.search(f"{pattern}$", exchange.path)
    assert in_path
    given = {
        "path": {name: [unquote(value)] for name, value in in_path.groupdict().items()},
        "query": exchange.query,
        "header": {name.lower(): [value] for name, value in exchange.sent_headers.items()},
    }
    found: set[Finding] = set()
    for parameter in description.parameters:
        place, name = parameter["in"], parameter["name"]
        values = given[place].get(name.lower() if place == "header" else name)
        if values is not None:
            schema = strict(parameter["schema"], description.root)
            found |= check(decoded(values, schema), schema, f"{place} {name}")
        elif parameter.get("required"):
            found.add(Finding(f"{place} {name}", "is missing"))
    known = {parameter["name"] for parameter in description.parameters if parameter["in"] == "query"}
    return found | {Finding(f"query {name}", "is not in the file") for name in exchange.query.keys() - known}


def _body(description: Description, exchange: Exchange, body: Any) -> set[Finding]:
    described_body = description.operation.get("requestBody")
    if described_body is None:
        return {Finding("body", "is not in the file")} if body is not None else set()
    if body is None:
        return {Finding("body", "is missing")}
    # The lines are the elements of the array; the file names the kind among the headers only.
    kind = "application/json" if exchange.sent_kind == NDJSON else exchange.sent_kind
    schema = description.schema_of(described_body, kind)
    if schema is None:
        return {Finding("body", f"has no schema for {exchange.sent_kind}")}
    return _checked(body, schema, description, form=kind == FORM)


def _checked(body: Any, stated: Schema, description: Description, *, form: bool) -> set[Finding]:
    if form and "discriminator" in stated:
        discriminator = stated["discriminator"]
        (kind,) = body[discriminator["propertyName"]]
        stated = {"$ref": discriminator["mapping"][kind]}
    schema = strict(stated, description.root)
    if not form:
        return check(body, schema, "body")
    found = check({name: decoded(values, field(schema, name)) for name, values in body.items()}, schema, "body")
    if "data" not in body:
        return found
    # In words: a JSON object "with the required Event Object fields", given as the default.
    example = json.loads(_default_of_data(stated, description))
    sent = json.loads(base64.b64decode(body["data"][0]))
    return found | _keys(sent, example, "body data.")


def _default_of_data(stated: Schema, description: Description) -> str:
    whole = {"allOf": [description.resolved(part) for part in stated["allOf"]]}
    return str(field(whole, "data")["default"])


def _keys(sent: dict[str, Any], example: dict[str, Any], where: str) -> set[Finding]:
    found = {Finding(where + name, "is missing") for name in example.keys() - sent.keys()}
    found |= {Finding(where + name, "is not in the file") for name in sent.keys() - example.keys()}
    for name in sent.keys() & example.keys():
        if isinstance(example[name], dict):
            found |= _keys(sent[name], example[name], f"{where}{name}.")
    return found


def _reply(description: Description, exchange: Exchange) -> set[Finding]:
    where = f"reply {exchange.status}"
    response = description.operation["responses"].get(str(exchange.status))
    if response is None:
        return {Finding(where, "is not in the file")}
    content = description.resolved(response).get("content", {})
    if not content:
        return {Finding(where, "has a body, of which the file knows nothing")} if exchange.got else set()
    if exchange.query.get("verbose") == ["1"] and exchange.status == 200:
        return check(json.loads(exchange.got), VERBOSE, where)
    if exchange.got_kind not in content:
        return {Finding(where, f"is {exchange.got_kind}, not {' or '.join(content)}")}
    reply = exchange.got.decode()
    return check(
        json.loads(reply) if exchange.got_kind.endswith("json") else reply, _of_reply(description, exchange), where
    )


def _of_reply(description: Description, exchange: Exchange) -> Schema:
    response = description.resolved(description.operation["responses"][str(exchange.status)])
    content = response["content"][exchange.got_kind]
    if "schema" in content:
        return strict(content["schema"], description.root)
    return {"anyOf": [like(example["value"]) for example in content["examples"].values()]}
