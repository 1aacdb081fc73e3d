"""A bare grpc.aio server with the service's options: what any service in this framework can do at most. Prints its address."""

import asyncio

import grpc

from router.server import OPTIONS


async def serve() -> None:
    async def same(request, context):
        return request

    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("load.Echo", {"Echo": grpc.unary_unary_rpc_method_handler(same)}),))
    print(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}", flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
