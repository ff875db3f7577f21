"""A test agent on the public A2A SDK: card over HTTP, service over gRPC.

What it does is chosen by the member "do" of the input; see `Agent`. It prints one line of JSON, its ports, when it is
ready, and exits when its standard input closes, so that it never outlives the test that started it.

Options: --http-port and --grpc-port (0: any), --advertise HOST:PORT (the gRPC address in the card, if another),
--store FILE (tasks in SQLite instead of memory).
"""

import argparse
import asyncio
import json
import logging
import os
import sys

import grpc
import uvicorn
from google.protobuf import json_format
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette

from a2a.helpers.proto_helpers import (
    get_data_parts,
    new_data_message,
    new_data_part,
    new_raw_part,
    new_task_from_user_message,
    new_text_part,
)
from a2a.server.agent_execution import AgentExecutor
from a2a.server.request_handlers import DefaultRequestHandler, GrpcHandler
from a2a.server.routes.agent_card_routes import create_agent_card_routes
from a2a.server.tasks import DatabaseTaskStore, InMemoryTaskStore, TaskUpdater
from a2a.types import a2a_pb2, a2a_pb2_grpc

MAX_MESSAGE_BYTES = 16 * 1024 * 1024 + 256 * 1024


class Agent(AgentExecutor):
    """Does what the input says."""

    async def execute(self, context, event_queue):
        parts = context.message.parts
        if context.current_task is not None:
            # The answer to a question.
            updater = TaskUpdater(event_queue, context.task_id, context.context_id)
            await updater.start_work()
            said = [part.text for part in parts] + get_data_parts(parts)
            await updater.add_artifact([new_data_part({"said": said[0] or said[-1]})], name="answer")
            await updater.complete()
            return
        given = get_data_parts(parts) or [json.loads(part.text) for part in parts]
        given = given[0]
        do = given["do"]
        if "log" in given:
            with open(given["log"], "a", encoding="utf-8") as log:
                log.write(do + "\n")
        if do == "message":
            await event_queue.enqueue_event(new_data_message({"n": 1}))
            return
        if do == "raise_first":
            raise RuntimeError("broken before the task")
        await event_queue.enqueue_event(new_task_from_user_message(context.message))
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work(updater.new_agent_message([new_text_part("at work")]))
        await getattr(self, do)(given, context, updater)

    async def echo(self, given, context, updater):
        """Answers with the input and all that came with it."""
        headers = context.call_context.state["grpc_context"].invocation_metadata()
        answer = {
            "input": given,
            "kind": context.message.parts[0].WhichOneof("content"),
            "metadata": context.metadata,
            "headers": {key: value for key, value in headers if isinstance(value, str)},
            "context_id": context.context_id,
            "message_id": context.message.message_id,
        }
        await updater.update_status(a2a_pb2.TASK_STATE_WORKING, metadata={"progress": 0.5})
        await updater.add_artifact([new_data_part(answer)], name="answer")
        await updater.complete()

    async def chunks(self, given, context, updater):
        """A text in chunks, a file in chunks and a value."""
        for index, text in enumerate(["one ", "two ", "three"]):
            await updater.add_artifact(
                [new_text_part(text, media_type="text/markdown")],
                artifact_id="report",
                name="report.md",
                append=index > 0,
                last_chunk=index == 2,
            )
        for index in range(3):
            chunk = new_raw_part(bytes([index]) * 4, media_type="image/png", filename="chart.png")
            await updater.add_artifact([chunk], artifact_id="chart", append=index > 0, last_chunk=index == 2)
        await updater.add_artifact([new_data_part({"rows": 3})], artifact_id="value")
        await updater.complete(updater.new_agent_message([new_text_part("Done.")]))

    async def exact(self, given, context, updater):
        """A number that only text can carry."""
        part = new_text_part('{"id":12345678901234567890}', media_type="application/json")
        await updater.add_artifact([part])
        await updater.complete()

    async def large(self, given, context, updater):
        """A file of that many bytes."""
        await updater.add_artifact([new_raw_part(bytes(int(given["bytes"])), filename="large.bin")])
        await updater.complete()

    async def nothing(self, given, context, updater):
        await updater.complete()

    async def fail(self, given, context, updater):
        await updater.failed(updater.new_agent_message([new_text_part("no such table")]))

    async def reject(self, given, context, updater):
        await updater.reject(updater.new_agent_message([new_text_part("not my job")]))

    async def ask(self, given, context, updater):
        await updater.requires_input(updater.new_agent_message([new_text_part("which city?")]))

    async def authorize(self, given, context, updater):
        await updater.requires_auth(updater.new_agent_message([new_text_part("log in")]))

    async def raise_later(self, given, context, updater):
        raise RuntimeError("broken in the middle")

    async def hold(self, given, context, updater):
        """Sends the first half of a text; the second once the file `release` is there."""
        await updater.add_artifact([new_text_part("first ")], artifact_id="text")
        while not os.path.exists(given["release"]):
            await asyncio.sleep(0.02)
        await updater.add_artifact([new_text_part("second")], artifact_id="text", append=True, last_chunk=True)
        await updater.complete()

    async def cancel(self, context, event_queue):
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def card_of(address):
    return json_format.ParseDict(
        {
            "name": "SDK agent",
            "description": "A test agent",
            "version": "1.2.3",
            "supportedInterfaces": [
                {"url": "http://127.0.0.1:9/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"},
                {"url": address, "protocolBinding": "GRPC", "protocolVersion": "1.0"},
            ],
            "capabilities": {"streaming": True},
            "defaultInputModes": ["application/json"],
            "defaultOutputModes": ["application/json"],
            "skills": [
                {"id": "test", "name": "Test", "description": "Does as told", "tags": ["test"]},
                {"id": "not a capability", "name": "Odd", "description": "An odd id", "tags": ["test"]},
            ],
        },
        a2a_pb2.AgentCard(),
    )


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--http-port", type=int, default=0)
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--advertise")
    parser.add_argument("--store")
    options = parser.parse_args()
    # Executors that raise are part of the tests; their traces would look like trouble.
    logging.disable(logging.CRITICAL)

    limits = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.max_send_message_length", MAX_MESSAGE_BYTES)]
    server = grpc.aio.server(options=[*limits, ("grpc.so_reuseport", 0)])
    grpc_port = server.add_insecure_port(f"127.0.0.1:{options.grpc_port}")
    card = card_of(options.advertise or f"127.0.0.1:{grpc_port}")
    if options.store:
        store = DatabaseTaskStore(create_async_engine(f"sqlite+aiosqlite:///{options.store}"))
        await store.initialize()
    else:
        store = InMemoryTaskStore()
    handler = DefaultRequestHandler(agent_executor=Agent(), task_store=store, agent_card=card)
    a2a_pb2_grpc.add_A2AServiceServicer_to_server(GrpcHandler(handler), server)
    await server.start()

    app = Starlette(routes=create_agent_card_routes(card))
    config = uvicorn.Config(app, host="127.0.0.1", port=options.http_port, log_level="error", lifespan="off")
    socket = config.bind_socket()
    socket.listen()
    http = asyncio.create_task(uvicorn.Server(config).serve(sockets=[socket]))

    print(json.dumps({"http": socket.getsockname()[1], "grpc": grpc_port}), flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    http.cancel()
    os._exit(0)


asyncio.run(main())
