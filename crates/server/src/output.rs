//! Where answers and talk go: stdout is data, stderr is talk.

use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};

use rustix::termios::tcgetwinsize;
use serde::Serialize;

use crate::exit::{Exit, Failure, Result};
use crate::hints;

/// Columns of what is written to a file or a pipe.
const WIDTH: usize = 120;

/// Writes a part of the answer.
///
/// # Errors
/// [`Exit::Output`]; a reader that has had enough (`| head`) ends the command without a word.
pub fn answer(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| unwritten(&error))
}

/// Writes a part of the answer as it is.
///
/// # Errors
/// As [`answer`].
pub fn answer_bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| unwritten(&error))
}

/// Writes the answer as JSON, for people indented.
///
/// # Errors
/// As [`answer`].
pub fn answer_json<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    answer(&format!("{}\n", serde_json::to_string_pretty(value).expect("an answer serializes into memory")))
}

/// A value as one line of JSON.
pub fn json_line<T: Serialize + ?Sized>(value: &T) -> String {
    format!("{}\n", serde_json::to_string(value).expect("an answer serializes into memory"))
}

/// Says something to whoever reads stderr; what it advises is made [complete](hints::complete). Nobody reading is no fault.
pub fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{}", hints::complete(&text.to_string()));
}

/// Writes to stderr at once, without a line feed.
pub fn say_raw(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Columns of stdout.
pub fn stdout_width() -> usize {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return WIDTH;
    }
    tcgetwinsize(stdout).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(80)
}

/// Columns and rows of stderr; wide for a file or a pipe.
pub fn stderr_size() -> (usize, usize) {
    let size = tcgetwinsize(io::stderr()).ok();
    let or = |told: Option<u16>, default| told.filter(|n| *n > 0).map_or(default, usize::from);
    (or(size.map(|size| size.ws_col), WIDTH), or(size.map(|size| size.ws_row), 24))
}

fn unwritten(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::quiet(Exit::Done),
        _ => Failure::output(format!("the answer cannot be written: {error}")),
    }
}
