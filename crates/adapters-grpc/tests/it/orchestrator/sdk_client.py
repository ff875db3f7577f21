"""A client on the public A2A SDK, against a server whose address is given: `sdk_client.py SCENARIO URL`.

Each scenario asserts what it sees; the exit code says whether all was so. One that wants a held step to go on prints
"release".
"""

import asyncio
import sys
import uuid

import grpc
import httpx
from a2a.client import ClientConfig, ClientFactory
from a2a.client.card_resolver import A2ACardResolver
from a2a.helpers.proto_helpers import get_data_parts, new_data_part, new_text_part
from a2a.types import a2a_pb2 as pb
from a2a.utils import errors as sdk
from a2a.utils.constants import TransportProtocol

# What the agent of the steps asks.
QUESTION = "the grapes are sour"


async def connect(url, **config):
    config = ClientConfig(
        supported_protocol_bindings=[TransportProtocol.GRPC],
        grpc_channel_factory=grpc.aio.insecure_channel,
        **config,
    )
    async with httpx.AsyncClient() as http:
        card = await A2ACardResolver(http, url).get_agent_card()
    return ClientFactory(config).create(card)


def message(parts, skill=None, **fields):
    fields.setdefault("message_id", str(uuid.uuid4()))
    request = pb.SendMessageRequest(message=pb.Message(role=pb.ROLE_USER, parts=parts, **fields))
    if skill:
        request.message.metadata["skill_id"] = skill
    return request


async def collect(stream):
    return [event async for event in stream]


async def finished(client, request):
    """The task as a call that waits answers it."""
    events = await collect(client.send_message(request))
    assert len(events) == 1, events
    return events[0].task


def result(task):
    artifact = next(artifact for artifact in task.artifacts if artifact.artifact_id == "result")
    return get_data_parts(artifact.parts)[0]


async def fails(error, awaitable):
    try:
        await awaitable
    except error as raised:
        return raised
    raise AssertionError(f"{error.__name__} was expected")


async def card(url):
    async with httpx.AsyncClient() as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        assert card.name == "Tutti" and card.capabilities.streaming and not card.capabilities.push_notifications
        assert [skill.id for skill in card.skills] == ["two", "work", "tutti.plan"], card.skills
        work = card.skills[1]
        assert (work.name, work.description) == ("Work", "Does as it is told")
        assert "workflow" in work.tags
        (interface,) = card.supported_interfaces
        assert (interface.protocol_binding, interface.protocol_version) == ("GRPC", "1.0")
        assert f"http://{interface.url}" == url
        address = f"{url}/.well-known/agent-card.json"
        first = await http.get(address)
        assert "max-age" in first.headers["cache-control"]
        again = await http.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def send(url):
    client = await connect(url, streaming=False)
    task = await finished(client, message([new_data_part({"query": 3})], "two"))
    assert task.status.state == pb.TASK_STATE_COMPLETED
    assert result(task) == {"answer": {"a": 3, "b": 3}}, task
    # A text goes to the one input that is required.
    task = await finished(client, message([new_text_part("hello")], "two"))
    assert result(task) == {"answer": {"a": "hello", "b": "hello"}}, task


async def stream(url):
    client = await connect(url)
    events = await collect(client.send_message(message([new_data_part({"query": 1})], "two")))
    assert events[0].HasField("task")
    told = [event.status_update for event in events if event.HasField("status_update")]
    texts = [update.status.message.parts[0].text for update in told if update.status.message.parts]
    assert "step a is complete" in texts and "step b is complete" in texts, texts
    shares = [update.metadata["progress"] for update in told]
    assert shares == sorted(shares) and shares[-1] == 1, shares
    assert told[-1].status.state == pb.TASK_STATE_COMPLETED
    (artifact,) = [event.artifact_update.artifact for event in events if event.HasField("artifact_update")]
    assert get_data_parts(artifact.parts)[0] == {"answer": {"a": 1, "b": 1}}


async def subscribe(url):
    polling = await connect(url, streaming=False, polling=True)
    task = await finished(polling, message([new_data_part({"do": "hold", "n": 5})], "work"))
    assert task.status.state in (pb.TASK_STATE_SUBMITTED, pb.TASK_STATE_WORKING)
    client = await connect(url)
    events = []
    async for event in client.subscribe(pb.SubscribeToTaskRequest(id=task.id)):
        if not events:
            print("release", flush=True)
        events.append(event)
    assert events[0].task.id == task.id
    assert events[-1].status_update.status.state == pb.TASK_STATE_COMPLETED
    await fails(sdk.UnsupportedOperationError, collect(client.subscribe(pb.SubscribeToTaskRequest(id=task.id))))


async def list_and_get(url):
    client = await connect(url, streaming=False)
    context = str(uuid.uuid4())
    sent = [message([new_data_part({"query": n})], "two", context_id=context) for n in range(3)]
    tasks = [await finished(client, request) for request in sent]
    page = await client.list_tasks(pb.ListTasksRequest(context_id=context, page_size=2, history_length=1))
    assert [task.id for task in page.tasks] == [tasks[2].id, tasks[1].id]
    assert page.total_size == 3 and not page.tasks[0].artifacts
    assert page.tasks[0].history[0].message_id == sent[2].message.message_id
    rest = await client.list_tasks(pb.ListTasksRequest(context_id=context, page_size=2, page_token=page.next_page_token))
    assert [task.id for task in rest.tasks] == [tasks[0].id] and not rest.next_page_token
    task = await client.get_task(pb.GetTaskRequest(id=tasks[0].id, history_length=0))
    assert task.context_id == context and not task.history and result(task) == {"answer": {"a": 0, "b": 0}}


async def cancel(url):
    polling = await connect(url, streaming=False, polling=True)
    task = await finished(polling, message([new_data_part({"do": "ask"})], "work"))
    task = await polling.cancel_task(pb.CancelTaskRequest(id=task.id))
    assert task.status.state == pb.TASK_STATE_CANCELED
    client = await connect(url, streaming=False)
    done = await finished(client, message([new_data_part({"query": 1})], "two"))
    await fails(sdk.TaskNotCancelableError, client.cancel_task(pb.CancelTaskRequest(id=done.id)))


async def answer_a_question(url):
    client = await connect(url)
    events = await collect(client.send_message(message([new_data_part({"do": "ask"})], "work")))
    asked = events[-1].status_update
    assert asked.status.state == pb.TASK_STATE_INPUT_REQUIRED
    assert asked.status.message.parts[0].text == QUESTION
    reply = message([new_text_part("Graz")], task_id=asked.task_id, context_id=asked.context_id)
    events = await collect(client.send_message(reply))
    assert events[-1].status_update.status.state == pb.TASK_STATE_COMPLETED
    task = await client.get_task(pb.GetTaskRequest(id=asked.task_id))
    assert result(task) == {"said": "Graz"}
    assert [said.role for said in task.history] == [pb.ROLE_USER, pb.ROLE_AGENT, pb.ROLE_USER]


async def send_twice(url):
    client = await connect(url, streaming=False)
    request = message([new_data_part({"query": 1})], "two")
    first, again = await asyncio.gather(finished(client, request), finished(client, request))
    assert first.id == again.id
    request.message.parts[0].CopyFrom(new_data_part({"query": 2}))
    await fails(sdk.InvalidParamsError, finished(client, request))


async def errors(url):
    client = await connect(url, streaming=False)
    await fails(sdk.TaskNotFoundError, client.get_task(pb.GetTaskRequest(id=str(uuid.uuid4()))))
    raised = await fails(sdk.InvalidParamsError, finished(client, message([new_data_part({"query": 1})])))
    assert "two, work" in str(raised), raised
    await fails(sdk.InvalidParamsError, finished(client, message([new_data_part({})], "two")))
    config = pb.TaskPushNotificationConfig(task_id="t", url="http://127.0.0.1:9/")
    await fails(
        sdk.PushNotificationNotSupportedError, client.create_task_push_notification_config(config)
    )
    done = await finished(client, message([new_data_part({"query": 1})], "two"))
    more = message([new_text_part("more")], task_id=done.id, context_id=done.context_id)
    await fails(sdk.UnsupportedOperationError, finished(client, more))


asyncio.run(globals()[sys.argv[1]](sys.argv[2]))
