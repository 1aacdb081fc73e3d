"""The backends' conformance tests on vLLM's engine, in the environment where vLLM is: `python -m tests.engines.conformance FOLDER`.

Starting an engine takes half a minute, so all of them share one.
"""

import asyncio
import inspect
import sys

from tests.contract import test_backends
from workers.backends import backends

ENGINE = {"enforce_eager": True, "dtype": "float32", "max_logprobs": -1, "max_model_len": 640}


async def main(folder: str) -> None:
    backend = backends.build("vllm", {"model": folder, "engine": ENGINE})
    await backend.prepare()
    try:
        for name, test in inspect.getmembers(test_backends, inspect.isfunction):
            if name.startswith("test_") and list(inspect.signature(test).parameters) == ["backend"]:
                result = test(backend)
                if inspect.isawaitable(result):
                    await result
                print("passed", name, flush=True)
        unfinished = backend._engine.get_num_unfinished_requests()
        assert unfinished == 0, f"{unfinished} requests were not aborted"
    finally:
        await backend.close()
    print("conforms", sorted(backend.capabilities))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
