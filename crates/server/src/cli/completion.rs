//! `tutti completion`: what a shell needs to complete what is typed.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::aot;

use super::Cli;
use crate::exit::{Exit, Result};
use crate::output::answer_bytes;

#[derive(Debug, Args)]
#[command(after_help = INSTALL)]
pub struct CompletionArgs {
    /// The shell to write for.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// What `tutti completion --help` says at its end.
const INSTALL: &str = "\
To install it:
  bash  tutti completion bash > ~/.local/share/bash-completion/completions/tutti
  zsh   tutti completion zsh > \"${fpath[1]}/_tutti\"
  fish  tutti completion fish > ~/.config/fish/completions/tutti.fish";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// # Errors
/// An answer that cannot be written.
pub fn execute(args: &CompletionArgs) -> Result<Exit> {
    let mut command = Cli::command();
    let mut script = Vec::new();
    match args.shell {
        Shell::Bash => aot::generate(aot::Bash, &mut command, "tutti", &mut script),
        Shell::Zsh => aot::generate(aot::Zsh, &mut command, "tutti", &mut script),
        Shell::Fish => aot::generate(aot::Fish, &mut command, "tutti", &mut script),
    }
    answer_bytes(&script).map(|()| Exit::Done)
}
