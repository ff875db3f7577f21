"""Starts many runs, watches each from its first event to its last through whatever happens to the server, and tells on
stdout, a line of JSON each, what it saw:

    {"under_way": N}                     every run has an agent at work, some are further, none has ended
    {"run": ..., "events": ..., ...}     one for each run when its watcher has seen it end

A gap, a duplicate, an event that is not the one expected, a run that is not completed and a wait that is too long end it
with an error.
"""

import argparse
import asyncio
import json
import random
import uuid
from pathlib import Path

import grpc

import stubs

# What a caller may simply ask again after. ABORTED is the server's word for a reader that was too slow.
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED)

# A channel waits between two tries to connect; by default up to two minutes, which is long for a server that restarts.
CHANNEL = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]


class Watcher:
    """A run and what was seen of it."""

    def __init__(self, run=None):
        # The request that starts the run; none if somebody else has started it.
        self.request = None if run else str(uuid.uuid4())
        self.run = run
        self.last = 0
        self.names = []
        self.connections = 0
        # Changes of the connection while the run was going on, as (code, last sequence number seen).
        self.breaks = []
        self.outcome = None

    def take(self, event):
        """The next event: any other number than the next is a gap or a duplicate."""
        if event.seq != self.last + 1:
            raise AssertionError(f"run {self.run}: {event.seq} follows {self.last}")
        self.last = event.seq
        self.names.append(event.name)

    def told(self):
        """What the test is told in the end."""
        return {
            "run": self.run,
            "events": self.names,
            "connections": self.connections,
            "breaks": self.breaks,
        }


async def again(call):
    """The answer of a call that is made until the server is there; the request id makes that safe."""
    wait = 0.05
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in AGAIN:
                raise
        await asyncio.sleep(wait * random.uniform(0.5, 1))
        wait = min(2 * wait, 1)


async def start(service, runs, workflow, watcher):
    """Starts the run of a watcher, or finds it."""
    request = runs.StartRunRequest(request_id=watcher.request, workflow=workflow, requested_by="watchers")
    return await again(lambda: service.StartRun(request))


async def watch(service, runs, watcher, changed):
    """Follows a run to its end, on from the event after the last one wherever the stream breaks."""
    wait = 0.05
    while True:
        watcher.connections += 1
        try:
            request = runs.WatchRunRequest(run_id=watcher.run, from_seq=watcher.last + 1)
            async for message in service.WatchRun(request):
                if message.WhichOneof("message") == "event":
                    watcher.take(message.event)
                    wait = 0.05
                    changed.set()
                elif message.heartbeat.last_seq < watcher.last:
                    raise AssertionError(f"run {watcher.run}: a heartbeat goes back to {message.heartbeat.last_seq}")
            break
        except grpc.aio.AioRpcError as error:
            if error.code() not in AGAIN:
                raise
            watcher.breaks.append([error.code().name, watcher.last])
        await asyncio.sleep(wait * random.uniform(0.5, 1))
        wait = min(2 * wait, 1)
    watcher.outcome = watcher.names[-1]
    changed.set()
    if watcher.outcome != "RunCompleted":
        raise AssertionError(f"run {watcher.run} ended with {watcher.outcome}")


async def under_way(watchers, changed):
    """Waits for the moment to strike: every run has a task at an agent, one has a result, and none has ended."""
    while not (all("TaskAssigned" in w.names for w in watchers) and any("StepCompleted" in w.names for w in watchers)):
        await changed.wait()
        changed.clear()
    ended = [w.run for w in watchers if w.outcome]
    if ended:
        raise AssertionError(f"ended before all were under way: {ended}")
    tell({"under_way": len(watchers)})


async def main(options):
    runs, rpc = stubs.load(options.root, "runs_pb2", "runs_pb2_grpc")
    workflow = Path(options.workflow).read_text()
    watchers = [Watcher(run) for run in options.watch]
    watchers += [Watcher() for _ in range(options.runs - len(watchers))]
    async with grpc.aio.insecure_channel(options.address, options=CHANNEL) as channel:
        service = rpc.RunServiceStub(channel)
        changed = asyncio.Event()

        async def follow(watcher):
            if watcher.request:
                watcher.run = (await start(service, runs, workflow, watcher)).run_id
            await watch(service, runs, watcher, changed)
            if watcher.request:
                # However late a copy of the request comes, it starts nothing.
                copy = await start(service, runs, workflow, watcher)
                if (copy.run_id, copy.existed) != (watcher.run, True):
                    raise AssertionError(f"request {watcher.request} started {copy.run_id} after {watcher.run}")
            tell(watcher.told())

        await asyncio.gather(under_way(watchers, changed), *map(follow, watchers))


def tell(value):
    print(json.dumps(value), flush=True)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True, help="the repository, for its proto/")
    parser.add_argument("--address", required=True, help="HOST:PORT of the server")
    parser.add_argument("--workflow", required=True, help="a workflow file")
    parser.add_argument("--runs", type=int, required=True, help="how many runs, those of --watch included")
    parser.add_argument("--watch", action="append", default=[], metavar="RUN", help="a run that was started already")
    parser.add_argument("--patience", type=float, required=True, help="longest time for everything, in seconds")
    return parser.parse_args()


async def bounded(options):
    await asyncio.wait_for(main(options), options.patience)


if __name__ == "__main__":
    asyncio.run(bounded(arguments()))
