"""Runs every example of a guide, in the order of the page.

Python blocks are one session: each is executed as it stands and sees the names of those before it. Shell blocks (```sh)
are one session too, of `sh -eu`: variables last. What is not to be run stands in ```text.

Only addresses are exchanged, for those of the test's servers and agents: `--instead SHOWN=HERE`. Programs are looked for
in the folder `--programs` first, which has `tutti`, `python3` and `grpcurl`. What the examples print goes to `guide.log`.

After the last example the loops of the page are tried on a server that dies. When they are under way, this tells so by a
line on stdout, and waits for one on stdin that says that the server was killed.
"""

import argparse
import contextlib
import faulthandler
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

# Ends a call of the stand-in that was to end by -max-time: 64 and DEADLINE_EXCEEDED.
TIME_IS_UP = 68


def blocks(page):
    """The fenced blocks: language, number of the first line, text."""
    language, first, lines = None, 0, []
    for number, line in enumerate(page.splitlines(), start=1):
        if not line.startswith("```"):
            lines.append(line)
        elif language is None:
            language, first, lines = line[3:], number + 1, []
        else:
            yield language, first, "\n".join(lines) + "\n"
            language = None


class Shell:
    """A session of shell commands in processes of their own."""

    def __init__(self, programs):
        self.variables = Path("shell-variables")
        self.variables.touch()
        self.environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}

    def run(self, place, text):
        # `set -a` exports what is set, so that the next process gets it.
        script = f"set -a\n. ./{self.variables}\n{text}\nexport -p > {self.variables}\n"
        command = ["sh", "-eu", "-c", script]
        done = subprocess.run(command, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        print(done.stdout, end="")
        cut_short = "-max-time" in text and done.returncode == TIME_IS_UP and done.stdout
        if done.returncode != 0 and not cut_short:
            sys.exit(f"{place}: the exit code is {done.returncode}\n{text}\n{done.stderr}")


def main(options):
    page = Path(options.page).read_text()
    for pair in options.instead:
        shown, here = pair.split("=", 1)
        if shown not in page:
            sys.exit(f"{options.page} does not show {shown}")
        page = page.replace(shown, here)
    shell, session = Shell(options.programs), {"__name__": "guide"}
    # Where stubs are written by the page's own command.
    sys.path.insert(0, os.getcwd())
    for language, line, text in blocks(page):
        place = f"{options.page}:{line}"
        if language == "python":
            # Blank lines, so that a traceback tells the line of the page.
            exec(compile("\n" * (line - 1) + text, options.page, "exec"), session)
        elif language == "sh":
            shell.run(place, text)
        elif language != "text":
            sys.exit(f"{place}: ```{language} is neither run nor declared as not to be run")
    return session


class Reader(threading.Thread):
    """Collects what a generator of the page gives, until one thing is the last."""

    def __init__(self, given, is_last=lambda _: False):
        super().__init__(daemon=True)
        self.given, self.is_last, self.seen, self.error = given, is_last, [], None
        self.start()

    def run(self):
        try:
            for one in self.given:
                self.seen.append(one)
                if self.is_last(one):
                    return
        except BaseException as error:
            self.error = error

    def wait_for(self, wanted):
        """Waits until something is seen."""
        while not any(wanted(one) for one in self.seen):
            if not self.is_alive():
                raise self.error or AssertionError("ended before what was to come")
            time.sleep(0.01)

    def end(self):
        """Everything that was seen, when all was."""
        self.join()
        if self.error:
            raise self.error
        return self.seen


def survive(page):
    """The page's loops go on when their server is killed in the middle and another takes its place."""
    runs, runs_pb2, monitor_pb2 = page["runs"], page["runs_pb2"], page["monitor_pb2"]
    waiting, completed = runs_pb2.RUN_STATE_WAITING, runs_pb2.RUN_STATE_COMPLETED
    start = runs_pb2.StartRunRequest(request_id=str(uuid.uuid4()), registered=page["approval"], session_id="s-18")
    watched = runs.StartAndWaitRun(runs_pb2.StartAndWaitRunRequest(start=start)).run
    asked = {"request_id": str(uuid.uuid4()), "query": "approval"}
    watch = Reader(page["watch"](watched.summary.run_id))
    follow = Reader(page["follow"]("session:s-18"), lambda run: run.state == completed)
    execute = Reader(page["execute"](monitor_pb2.ExecuteStreamRequest(**asked)))
    watch.wait_for(lambda event: event.seq == watched.last_seq)
    follow.wait_for(lambda run: run.state == waiting)
    execute.wait_for(lambda message: message.progress.state == monitor_pb2.PROGRESS_STATE_WAITING)
    print("under way", flush=True)
    sys.stdin.readline()

    for run in (watched.summary.run_id, execute.seen[0].run_id):
        answer = runs_pb2.SignalRunRequest(run_id=run, request_id=str(uuid.uuid4()), answer_json='"yes"')
        page["ask"](runs.SignalRun, answer)
    events = watch.end()
    assert [event.seq for event in events] == list(range(1, len(events) + 1)), events
    assert events[-1].name == "RunCompleted"
    assert follow.end()[-1].run_id == watched.summary.run_id

    def name(message):
        return message.seq, message.part, message.WhichOneof("event")

    # The same request once more reads the same from the first message to the last, now without a break.
    whole = list(page["execute"](monitor_pb2.ExecuteStreamRequest(**asked)))
    assert list(map(name, execute.end())) == list(map(name, whole)) and name(whole[-1])[2] == "result"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("page", help="the Markdown file")
    parser.add_argument("--programs", required=True, help="a folder that is searched for programs first")
    parser.add_argument("--instead", action="append", default=[], metavar="SHOWN=HERE")
    parser.add_argument("--patience", type=float, required=True, help="longest time for everything, in seconds")
    arguments = parser.parse_args()
    # A call that hangs shows where.
    faulthandler.dump_traceback_later(arguments.patience, exit=True)
    with open("guide.log", "w") as log, contextlib.redirect_stdout(log):
        names = main(arguments)
    survive(names)
