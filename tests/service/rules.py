"""What version 0.2 of the Reconciliation Service API asks of a service, as JSON schemas of our own: stricter than the
published ones where the text of the specification is, closed where this service is."""

TEXT = {"type": "string", "minLength": 1}
URI = {"type": "string", "pattern": r"^(https?|urn):\S+$"}
TEMPLATE = {"type": "string", "pattern": r"^https?://\S*\{\{id\}\}\S*$"}


def closed(required: dict, optional: dict | None = None) -> dict:
    """An object with these fields and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def list_of(items: dict, **more) -> dict:
    return {"type": "array", "items": items, **more}


TYPE = closed({"id": TEXT, "name": TEXT})
FEATURE = closed({"id": TEXT, "value": {"type": ["number", "boolean"]}})
SUGGEST = {"service_url": {"type": "string", "pattern": r"^https?://\S+[^/]$"}, "service_path": {"pattern": "^/"}}

MANIFEST = closed(
    {
        "versions": {"const": ["0.2"]},
        "name": TEXT,
        "identifierSpace": URI,
        "schemaSpace": URI,
        "defaultTypes": list_of(TYPE, minItems=1, uniqueItems=True),
        "serviceVersion": TEXT,
        "view": closed({"url": TEMPLATE}),
        "preview": closed({"url": TEMPLATE, "width": {"type": "integer"}, "height": {"type": "integer"}}),
        "suggest": closed(
            {
                "entity": closed({**SUGGEST, "flyout_service_path": {"type": "string", "pattern": r"^/.*\$\{id\}"}}),
                "type": closed(SUGGEST),
                "property": closed(SUGGEST),
            }
        ),
        "batchSize": {"type": "integer", "minimum": 1},
    }
)
CANDIDATE = closed(
    {
        "id": TEXT,
        "name": TEXT,
        "description": {"type": "string"},
        "score": {"type": "number"},
        "match": {"type": "boolean"},
        "type": list_of(TYPE),
        "features": list_of(FEATURE),
    }
)
RESULTS = {"type": "object", "additionalProperties": closed({"result": list_of(CANDIDATE)})}
SUGGESTIONS = {
    "entity": closed(
        {
            "result": list_of(
                closed({"id": TEXT, "name": TEXT}, {"description": {"type": "string"}, "notable": list_of(TYPE)})
            )
        }
    ),
    "type": closed({"result": list_of(closed({"id": TEXT, "name": TEXT}, {"description": {"type": "string"}}))}),
}
SUGGESTIONS["property"] = SUGGESTIONS["type"]
FLYOUT = closed({"id": TEXT, "html": TEXT})
