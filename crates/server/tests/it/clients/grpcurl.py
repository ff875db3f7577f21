"""A stand-in for the program grpcurl, for tests on machines that do not have it.

It understands the part of grpcurl's command line that the guide uses, and refuses everything else:

    grpcurl [FLAGS] HOST:PORT list [SERVICE]
    grpcurl [FLAGS] HOST:PORT describe SYMBOL
    grpcurl [FLAGS] HOST:PORT SERVICE/METHOD

with the flags -plaintext, -cacert FILE, -H 'NAME: VALUE', -d JSON or -d @ (stdin), and -max-time SECONDS. As the program
does, it learns services and messages from the server's reflection, reads the request as JSON (a member that the message
does not have is an error) and writes each answer as JSON. An error of the call is told on stderr, and the exit code is 64
plus its code.
"""

import sys
from pathlib import Path

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

# Flags that take a value, and those that do not.
VALUES = ("-cacert", "-H", "-d", "-max-time")
SWITCHES = ("-plaintext",)


class Metadata(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Sends the headers with every call, reflection included."""

    def __init__(self, metadata):
        self.metadata = metadata

    def intercept_unary_unary(self, send, details, request):
        return send(details._replace(metadata=self.metadata), request)

    def intercept_unary_stream(self, send, details, request):
        return send(details._replace(metadata=self.metadata), request)

    def intercept_stream_stream(self, send, details, requests):
        return send(details._replace(metadata=self.metadata), requests)


def parse(args):
    """The flags, each with its values, and what follows them: flags come first."""
    flags = {}
    while args and args[0].startswith("-"):
        flag = args.pop(0)
        if flag in VALUES and args:
            flags.setdefault(flag, []).append(args.pop(0))
        elif flag in SWITCHES:
            flags[flag] = [True]
        else:
            sys.exit(f"grpcurl (stand-in): flag {flag} is not understood, or has no value")
    if len(args) < 2:
        sys.exit("grpcurl (stand-in): an address and a method are needed")
    return flags, args[0], args[1:]


def connect(flags, address):
    """A channel as the flags want it."""
    if "-plaintext" in flags:
        channel = grpc.insecure_channel(address)
    else:
        roots = Path(flags["-cacert"][0]).read_bytes() if "-cacert" in flags else None
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(roots))
    headers = [header.split(":", 1) for header in flags.get("-H", [])]
    return grpc.intercept_channel(channel, Metadata([(name.strip().lower(), value.strip()) for name, value in headers]))


def call(flags, channel, pool, name):
    """Makes one call and writes its answers."""
    service, _, method = name.replace("/", ".").rpartition(".")
    method = pool.FindServiceByName(service).FindMethodByName(method)
    if method.client_streaming:
        sys.exit("grpcurl (stand-in): a stream of requests is not understood")
    (data,) = flags.get("-d", ["{}"])
    text = sys.stdin.read() if data == "@" else data
    request = json_format.Parse(text, message_factory.GetMessageClass(method.input_type)(), descriptor_pool=pool)
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    ask = kind(
        f"/{service}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )
    timeout = float(flags["-max-time"][0]) if "-max-time" in flags else None
    answer = ask(request, timeout=timeout)
    for message in answer if method.server_streaming else [answer]:
        print(json_format.MessageToJson(message, descriptor_pool=pool), flush=True)


def main(args):
    flags, address, what = parse(args)
    with connect(flags, address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        if what == ["list"]:
            print("\n".join(sorted(database.get_services())))
        elif what[0] == "list":
            service = pool.FindServiceByName(what[1])
            print("\n".join(sorted(method.full_name for method in service.methods)))
        elif what[0] == "describe":
            # Only what is there is shown, not its text.
            file = pool.FindFileContainingSymbol(what[1])
            print(f"{what[1]} is in {file.name}")
        else:
            call(flags, channel, pool, what[0])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except grpc.RpcError as error:
        print(f"ERROR:\n  Code: {error.code().name}\n  Message: {error.details()}", file=sys.stderr)
        sys.exit(64 + error.code().value[0])
