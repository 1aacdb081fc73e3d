"""paretobandit's router behind the same gRPC shell: its `route` in a handler. Runs in the peers' environment, so imports nothing of ours.

Its own encoder wants a download; here a text becomes numbers by a seed, which costs it next to nothing. Prints its address.
"""

import asyncio
import zlib

import grpc
import numpy as np
from pareto_bandit.router import BanditRouter

MODELS = 7  # as many as the plans that are bundled with Rheostat


class Features:
    """What the router asks of its feature service."""

    dimension = 26
    bias_index = 25

    def extract_features(self, prompt: str) -> np.ndarray:
        return np.append(np.random.default_rng(zlib.crc32(prompt.encode())).normal(size=25), 1.0)


async def serve() -> None:
    costs = [{"input_cost_per_m": 0.1 * 2**place, "output_cost_per_m": 0.4 * 2**place, "time_to_first_token_seconds": 0.1} for place in range(MODELS)]
    router = BanditRouter({f"model-{place}": one for place, one in enumerate(costs)}, feature_service=Features(), bandit_seed=0)

    async def route(request, context):
        model, _ = router.route(request.decode(errors="replace"))
        return model.encode()

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("load.Pareto", {"Route": grpc.unary_unary_rpc_method_handler(route)}),))
    print(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
