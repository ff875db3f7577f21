"""Runs every example of a guide, in the order of the page.

Python blocks are one session: each is executed as it stands and sees the names of those before it. Shell blocks (```sh)
are one session too, of `sh -eu`: variables last. What is not to be run stands in ```text.

Only addresses are exchanged, for those of the test's servers and agents: `--instead SHOWN=HERE`. Programs are looked for
in the folder `--programs` first, which has `tutti`, `python3` and `grpcurl`.
"""

import argparse
import faulthandler
import os
import subprocess
import sys
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
    # A call that hangs shows where.
    faulthandler.dump_traceback_later(options.patience, exit=True)
    page = Path(options.page).read_text()
    for pair in options.instead:
        shown, here = pair.split("=", 1)
        if shown not in page:
            sys.exit(f"{options.page} does not show {shown}")
        page = page.replace(shown, here)
    shell, session = Shell(options.programs), {"__name__": "guide"}
    # Where stubs are written by the page's own command.
    sys.path.insert(0, os.getcwd())
    counts = {}
    for language, line, text in blocks(page):
        counts[language] = counts.get(language, 0) + 1
        place = f"{options.page}:{line}"
        if language == "python":
            # Blank lines, so that a traceback tells the line of the page.
            exec(compile("\n" * (line - 1) + text, options.page, "exec"), session)
        elif language == "sh":
            shell.run(place, text)
        elif language != "text":
            sys.exit(f"{place}: ```{language} is neither run nor declared as not to be run")
    print(counts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("page", help="the Markdown file")
    parser.add_argument("--programs", required=True, help="a folder that is searched for programs first")
    parser.add_argument("--instead", action="append", default=[], metavar="SHOWN=HERE")
    parser.add_argument("--patience", type=float, required=True, help="longest time for everything, in seconds")
    main(parser.parse_args())
