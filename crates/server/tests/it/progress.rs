//! Progress on stderr in its forms.

use std::fs::File;
use std::io::Read;
use std::process::Stdio;
use std::time::Instant;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;

use crate::support::{Place, workflow};

#[test]
fn plain_is_one_fact_per_line_without_control_codes() {
    let place = Place::new();
    let done = place.tutti(&["run", &workflow(), "--progress", "plain"]).expect(0);
    assert!(done.stderr.chars().all(|c| c == '\n' || !c.is_control()), "{}", done.stderr);
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert!(lines[0].contains(" - created run=") && lines[0].contains("workflow=data-science steps=8"), "{}", lines[0]);
    let said = |words: &str| lines.iter().filter(|line| line.contains(words)).count();
    assert_eq!(said(" running try=1 agent="), 8);
    assert_eq!(said(" report completed try=1 took="), 1);
    assert_eq!(said(" report artifact name=report.md bytes="), 1);
    assert_eq!(said(" - checkpoint name=before:ensemble"), 1);
    assert!(done.stdout.starts_with("● completed in "), "{}", done.stdout);
}

#[test]
fn json_is_one_event_per_line() {
    let place = Place::new();
    let done = place.tutti(&["run", &workflow(), "--progress", "json"]).expect(0);
    let shown: Vec<Value> = done.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(shown, place.events(), "the same events as the store tells, in the same form");
    assert_eq!(shown.last().unwrap()["event"], "RunCompleted");
}

#[test]
fn the_live_view_keeps_to_its_window_and_gives_the_terminal_back() {
    const ROWS: u16 = 8;
    const COLUMNS: u16 = 60;
    let place = Place::with_delay(250);
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = File::from(open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap());
    tcsetwinsize(&slave, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let begun = Instant::now();
    let mut command = place.command(&["run", &workflow()]);
    let mut child = command.env("NO_COLOR", "1").stdout(Stdio::null()).stderr(slave).spawn().unwrap();
    // Ours is closed with the command; the terminal ends when the last one is, with an error on Linux.
    drop(command);
    let mut shown = Vec::new();
    let mut master = File::from(master);
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut piece) {
        shown.extend_from_slice(&piece[..count]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let seconds = begun.elapsed().as_secs_f64();
    let shown = String::from_utf8(shown).unwrap();

    let frames: Vec<&str> =
        shown.split("\u{1b}[?2026h").skip(1).map(|frame| frame.split("\u{1b}[?2026l").next().unwrap()).collect();
    assert!((3..).contains(&frames.len()), "{shown:?}");
    assert!(frames.len() as f64 <= seconds * 10.0 + 2.0, "{} frames in {seconds} s", frames.len());
    for frame in &frames {
        let lines: Vec<&str> = frame.lines().filter(|line| line.contains("\u{1b}[K")).collect();
        assert!(lines.len() < usize::from(ROWS), "{frame:?}");
        let text = |line: &str| line.trim_end_matches("\u{1b}[K").rsplit("A\r").next().unwrap().chars().count();
        assert!(lines.iter().all(|line| text(line) < usize::from(COLUMNS)), "{frame:?}");
    }
    assert!(frames.iter().any(|frame| frame.contains("◐ running   generate-a") && frame.contains("0/8 done")));
    assert!(shown.contains("\u{1b}[?25l") && shown.contains("\u{1b}[?25h"), "the cursor is hidden and shown again");
    assert!(shown.rsplit("\u{1b}[?25h").next().unwrap().contains("└─● completed  report"), "the tree stays");
}
