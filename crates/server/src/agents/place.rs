//! The folder beside the store where what was started is written down, with the logs of the agents.
//!
//! `NAME.json` tells of an agent that was launched, so that one that outlived a killed tutti is found again with the
//! task that it works on. `run REQUEST.json` tells which agents file a run began with, so that `resume` knows it; it is
//! written before the run exists, whose id is not known then. One engine has a store, so one process writes here.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tutti_core::ids::{AgentId, RequestId};

use super::process::Identity;

/// The folder of one store.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    temporary: bool,
}

/// An agent that was launched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launched {
    /// Its process.
    pub process: Identity,
    /// Where it serves its card.
    pub url: String,
    /// The digest of the command that started it.
    pub command: String,
}

/// How a run was begun.
#[derive(Serialize, Deserialize)]
struct Begun {
    agents_file: PathBuf,
}

impl Place {
    /// The folder beside a store's file.
    pub fn beside(store: &Path) -> Self {
        let mut folder = store.as_os_str().to_owned();
        folder.push("-agents");
        let folder = PathBuf::from(folder);
        // The names of logs are shown, and programs may change their working directory.
        Self { folder: std::path::absolute(&folder).unwrap_or(folder), temporary: false }
    }

    /// A folder of its own that goes when this value does, for a store that leaves no trace.
    pub fn temporary(name: RequestId) -> Self {
        Self { folder: std::env::temp_dir().join(format!("tutti-{name}")), temporary: true }
    }

    /// Makes the folder, for this user alone: the logs may hold what the agents work on.
    pub fn create(&self) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where an agent's output goes.
    pub fn log(&self, agent: &AgentId) -> PathBuf {
        self.folder.join(format!("{agent}.log"))
    }

    /// What was written down about an agent; `None` if nothing that can be read.
    pub fn launched(&self, agent: &AgentId) -> Option<Launched> {
        read(&self.agent(agent))
    }

    /// Writes down an agent that was launched.
    pub fn save(&self, agent: &AgentId, launched: &Launched) -> io::Result<()> {
        write(&self.agent(agent), launched)
    }

    /// An agent is stopped; its log is kept if it says anything.
    pub fn forget(&self, agent: &AgentId) {
        let _ = fs::remove_file(self.agent(agent));
        let log = self.log(agent);
        if fs::metadata(&log).is_ok_and(|log| log.len() == 0) {
            let _ = fs::remove_file(log);
        }
    }

    /// Removes the folder if nothing is left in it.
    pub fn tidy(&self) {
        let _ = fs::remove_dir(&self.folder);
    }

    /// The agents file that the run of a request began with.
    pub fn agents_file(&self, request: RequestId) -> Option<PathBuf> {
        read::<Begun>(&self.run(request)).map(|begun| begun.agents_file)
    }

    /// Writes down the agents file of the run that a request begins.
    pub fn save_run(&self, request: RequestId, agents_file: &Path) -> io::Result<()> {
        self.create()?;
        write(&self.run(request), &Begun { agents_file: agents_file.to_owned() })
    }

    /// A run has ended.
    pub fn forget_run(&self, request: RequestId) {
        let _ = fs::remove_file(self.run(request));
    }

    fn agent(&self, agent: &AgentId) -> PathBuf {
        self.folder.join(format!("{agent}.json"))
    }

    fn run(&self, request: RequestId) -> PathBuf {
        // No agent's name has a space, so that the names of the two kinds of files never meet.
        self.folder.join(format!("run {request}.json"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes whole or not at all: tutti may be killed at any moment.
fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let draft = path.with_extension("json.new");
    fs::write(&draft, serde_json::to_vec(value)?)?;
    fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_down_is_read_back_until_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::beside(&folder.path().join("t.db"));
        let request = RequestId::from_u128(7);
        assert_eq!(place.agents_file(request), None);
        place.save_run(request, Path::new("/x/agents.yaml")).unwrap();
        assert_eq!(place.agents_file(request).unwrap(), Path::new("/x/agents.yaml"));
        place.forget_run(request);
        assert_eq!(place.agents_file(request), None);

        let name: AgentId = "a".parse().unwrap();
        let process = Identity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        let launched = Launched { process, url: "http://x".into(), command: "c".into() };
        place.save(&name, &launched).unwrap();
        assert_eq!(place.launched(&name), Some(launched));
        fs::write(place.agent(&name), "{").unwrap();
        assert_eq!(place.launched(&name), None, "damage is as if nothing was written down");
        place.forget(&name);
        assert!(!place.agent(&name).exists());
    }

    #[test]
    fn a_temporary_place_leaves_nothing() {
        let place = Place::temporary(crate::clock::SystemClock.request_id());
        place.create().unwrap();
        let folder = place.folder.clone();
        assert!(folder.is_dir());
        drop(place);
        assert!(!folder.exists());
    }
}
