"""litellm as a client, in a process of its own: importing it takes seconds, and it warns of itself."""

import asyncio
import json
import os
import sys

from router.app import Service
from tests.integration.test_faults import STORY

ASK = """
import json, litellm, sys
url, question = sys.argv[1:]
asked = dict(model="openai/rheostat-quick", api_base=url, api_key="x", messages=[{"role": "user", "content": question}])
whole = litellm.completion(**asked, extra_body={"rheostat": {"task": "math"}})
streamed = "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**asked, stream=True) if chunk.choices)
try:
    litellm.completion(**asked | {"model": "openai/none-such"})
except litellm.NotFoundError as error:
    refused = str(error)
print(json.dumps([whole.choices[0].message.content, whole.usage.total_tokens, streamed, refused]))
"""


async def test_litellm_is_answered_streamed_to_and_refused(running: Service) -> None:
    env = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # or it asks the internet for prices
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ASK, running.http.url, STORY, stdout=asyncio.subprocess.PIPE, env=env)
    out, _ = await process.communicate()
    assert process.returncode == 0
    whole, tokens, streamed, refused = json.loads(out.decode().splitlines()[-1])
    assert whole
    assert tokens > 0
    assert streamed
    assert "none-such" in refused
