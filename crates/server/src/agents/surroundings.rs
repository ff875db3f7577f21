//! What a command of the agents file is filled in with.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use tutti_core::value::Digest;

use super::file::{AgentsFile, Command};
use crate::exit::{Failure, Result};

/// Where everything that a command needs is.
pub struct Surroundings {
    program: PathBuf,
    folder: PathBuf,
}

/// Two free ports on loopback, kept from others until dropped.
pub struct Ports {
    /// Of the card.
    pub card: u16,
    /// Of gRPC, for agents that serve it apart.
    pub grpc: u16,
    _held: [TcpListener; 2],
}

impl Surroundings {
    /// The running tutti and the folder of the file.
    ///
    /// # Errors
    /// A system that does not tell where the running program is.
    pub fn of(file: &AgentsFile) -> Result<Self> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::unavailable(format!("the path of the tutti binary is not known: {error}")))?;
        Ok(Self { program, folder: file.folder().to_owned() })
    }

    /// Names a command with everything that stands behind its placeholders, ports aside.
    pub fn digest(&self, command: &Command) -> String {
        let command = serde_json::to_string(command).expect("a command serializes into memory");
        let text = format!("{command} {} {}", self.program.display(), self.folder.display());
        Digest::of(text.as_bytes()).to_string()
    }

    /// The command with its placeholders filled in.
    pub fn fill(&self, command: &Command, ports: &Ports) -> tokio::process::Command {
        let path = |path: &Path| path.to_string_lossy().into_owned();
        let values = [
            ("{self}", path(&self.program)),
            ("{dir}", path(&self.folder)),
            ("{port}", ports.card.to_string()),
            ("{grpc_port}", ports.grpc.to_string()),
        ];
        let fill = |text: &String| values.iter().fold(text.clone(), |text, (name, value)| text.replace(name, value));
        let mut filled = tokio::process::Command::new(fill(&command.line[0]));
        filled.args(command.line[1..].iter().map(fill));
        filled.envs(command.env.iter().map(|(name, value)| (name, fill(value))));
        filled
    }
}

impl Ports {
    /// Ports of an agent.
    ///
    /// # Errors
    /// There are none.
    pub fn free() -> Result<Self> {
        let listen = || -> io::Result<(u16, TcpListener)> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            Ok((listener.local_addr()?.port(), listener))
        };
        let free = || -> io::Result<Self> {
            let ((card, first), (grpc, second)) = (listen()?, listen()?);
            Ok(Self { card, grpc, _held: [first, second] })
        };
        free().map_err(|error| Failure::unavailable(format!("there is no free port on loopback: {error}")))
    }

    /// Ports for several agents, all distinct because all are held.
    ///
    /// # Errors
    /// There are not so many.
    pub fn take(count: usize) -> Result<Vec<Self>> {
        (0..count).map(|_| Self::free()).collect()
    }
}
