"""The stubs of the API, made from proto/ as any client would make them."""

import importlib
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc


def make(root, folder):
    """Writes the stubs of the repository at `root` to `folder`."""
    files = sorted(str(path) for path in Path(root, "proto/tutti/v1").glob("*.proto"))
    include = Path(grpc_tools.__file__).parent / "_proto"
    paths = [f"-I{root}/proto", f"-I{include}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    code = protoc.main(["protoc", *paths, *files])
    if code != 0:
        raise RuntimeError(f"protoc ended with {code}")


def load(root, *names):
    """The modules of these names, such as `runs_pb2`, freshly made."""
    folder = tempfile.TemporaryDirectory()
    make(root, folder.name)
    sys.path.insert(0, folder.name)
    try:
        return [importlib.import_module(f"tutti.v1.{name}") for name in names]
    finally:
        sys.path.remove(folder.name)
        folder.cleanup()
