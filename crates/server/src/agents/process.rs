//! Processes that outlive tutti: told apart from others that got the same number later, and stopped as groups.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

/// How often an end is looked for.
const POLL: Duration = Duration::from_millis(20);

/// How often the end of a process that goes on by itself is looked for.
const WATCH: Duration = Duration::from_millis(250);

/// A process, by its number and the moment of its start: numbers are used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The number; the process leads a group of its own.
    pub pid: i32,
    /// When it started, in the words of the system.
    started: String,
}

impl Identity {
    /// The identity of the process that has this number now; `None` if there is none or the system does not tell.
    pub fn of(pid: i32) -> Option<Self> {
        started(pid).map(|started| Self { pid, started })
    }

    /// True while this very process runs.
    pub fn is_alive(&self) -> bool {
        started(self.pid).is_some_and(|started| started == self.started)
    }

    /// Waits for the end, however long that takes. Only the parent of a process is told of its end, so it is looked for.
    pub async fn end(&self) {
        while self.is_alive() {
            tokio::time::sleep(WATCH).await;
        }
    }

    /// Asks the process and its children to end, and makes them after `grace`. Nothing happens if it is gone.
    pub async fn stop(&self, grace: Duration) {
        if self.is_alive() {
            signal(self.pid, Signal::TERM);
        }
        if !self.ended(grace).await {
            signal(self.pid, Signal::KILL);
            self.ended(grace).await;
        }
    }

    /// Waits for the end; false if it does not come in time.
    async fn ended(&self, limit: Duration) -> bool {
        let end = tokio::time::Instant::now() + limit;
        while self.is_alive() {
            if tokio::time::Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(POLL).await;
        }
        true
    }
}

/// Sends a signal to the group that a process leads. One that is gone is no fault.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid).filter(|pid| !pid.is_init()) {
        let _ = kill_process_group(pid, signal);
    }
}

/// When the process with this number started: from `/proc` (clock ticks since boot, see proc(5)), elsewhere from `ps`.
/// `None` for one that is gone or has ended and only waits to be collected.
#[cfg(target_os = "linux")]
fn started(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program stands in brackets and may hold anything; the state is the third field, the start the
    // twenty-second.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18).map(str::to_owned)).flatten()
}

#[cfg(not(target_os = "linux"))]
fn started(pid: i32) -> Option<String> {
    let output =
        std::process::Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (state, started) = text.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[tokio::test]
    async fn a_process_is_known_again_and_stopped_with_its_children() {
        // A shell that ignores the polite signal, with a child.
        let mut child =
            Command::new("sh").args(["-c", "trap '' TERM; sleep 60; sleep 60"]).process_group(0).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let identity = Identity::of(pid).unwrap();
        assert!(identity.is_alive());
        let again: Identity = serde_json::from_str(&serde_json::to_string(&identity).unwrap()).unwrap();
        assert_eq!(again, identity);
        let impostor = Identity { started: "another moment".into(), ..identity.clone() };
        impostor.stop(Duration::from_millis(10)).await;
        assert!(child.try_wait().unwrap().is_none(), "another process of this number is left alone");
        identity.stop(Duration::from_millis(200)).await;
        assert!(!child.wait().unwrap().success());
        assert_eq!(Identity::of(pid), None);
    }
}
