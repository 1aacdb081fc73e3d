"""The published document describes the door: schemathesis makes requests of it, in order and not, and holds the responses against it."""

import os
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import httpx2

from router.app import Service

CONFIG = """
[checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", 504]  # a deadline of nothing
"""


async def test_the_document_is_published(running: Service) -> None:
    async with httpx2.AsyncClient() as bare:
        told = (await bare.get(running.http.url.replace("/v1", "/openapi.json"))).json()
    assert set(told["paths"]) == {"/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/models/{model}"}


async def test_the_door_does_what_the_document_says(running: Service, tmp_path: Path) -> None:
    """As its own command line has it, in another process; an answer to anything is one of those that are described, and none is a fault of ours."""
    url = running.http.url.replace("/v1", "")
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection"
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    words = ("run", f"{url}/openapi.json", "--checks", checks, "--phases", "examples,fuzzing", "--max-examples", "60", "--seed", "1")
    process = await create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli", *words, stdout=PIPE, stderr=STDOUT, cwd=tmp_path, env=os.environ | {"NO_COLOR": "1"}
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    assert "Examples" in out.decode()
