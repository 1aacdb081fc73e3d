"""The OpenAPI document, from the models by which requests are read and responses written."""

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from router.openai import telling
from router.openai.asking import ChatRequest, CompletionRequest
from router.openai.failures import STATUSES
from router.telemetry.telemetry import our_version

_ASKED = (ChatRequest, CompletionRequest)
_TOLD = (telling.ChatCompletion, telling.ChatCompletionChunk, telling.Completion, telling.ModelList, telling.Model, telling.Failed)


@cache
def document() -> dict[str, Any]:
    """All of it."""
    modes = [*((model, "validation") for model in _ASKED), *((model, "serialization") for model in _TOLD)]
    _, schemas = models_json_schema(modes, ref_template="#/components/schemas/{model}")  # type: ignore[arg-type]
    chunks = {"text/event-stream": {"schema": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Rheostat, in OpenAI's words", "version": our_version(), "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": {
            "/v1/chat/completions": {"post": _operation("chat", "Answer a conversation", "ChatCompletion", "ChatRequest", chunks)},
            "/v1/completions": {"post": _operation("complete", "Answer a prompt", "Completion", "CompletionRequest", chunks)},
            "/v1/models": {"get": _operation("models", "What may be named as a model", "ModelList")},
            "/v1/models/{model}": {
                "get": _operation("model", "One of them", "Model"),
                "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}],
            },
        },
        "components": {"schemas": schemas["$defs"], "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}, {}],
    }


def _operation(name: str, summary: str, told: str, asked: str = "", streamed: dict[str, Any] | None = None) -> dict[str, Any]:
    good = {"description": "Done", "content": {"application/json": {"schema": _reference(told)}} | (streamed or {})}
    failed = {"description": "Not done", "content": {"application/json": {"schema": _reference("Failed")}}}
    body = {"requestBody": {"required": True, "content": {"application/json": {"schema": _reference(asked)}}}} if asked else {}
    return {"operationId": name, "summary": summary, "responses": {"200": good} | {str(status): failed for status in STATUSES}} | body


def _reference(model: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model}"}
