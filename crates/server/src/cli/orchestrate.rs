//! What the command line says about orchestration.

use clap::{Args, ValueEnum};
use tutti_core::orchestration::{Phase, Preset, Wishes, switch};

/// How a run is orchestrated.
#[derive(Debug, Clone, Default, Args)]
pub struct OrchestrateArgs {
    /// Which of the seven phases are on. Default: what the workflow says, its domain, then the configuration.
    #[arg(long, value_enum)]
    preset: Option<PresetArg>,
    /// Switch a phase whatever the preset: analysis, planning, streaming, quality, sessions, error_handling or artifacts. May
    /// be repeated.
    #[arg(long = "phase", value_name = "NAME=on|off", value_parser = switch)]
    phases: Vec<(Phase, bool)>,
    /// The domain of the configuration that the run belongs to. Default: what the workflow says, then the configuration.
    #[arg(long, value_name = "NAME")]
    domain: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PresetArg {
    /// Most phases are off.
    Lightweight,
    /// All phases.
    Full,
}

impl From<OrchestrateArgs> for Wishes {
    fn from(args: OrchestrateArgs) -> Self {
        let preset = args.preset.map(|preset| match preset {
            PresetArg::Lightweight => Preset::Lightweight,
            PresetArg::Full => Preset::Full,
        });
        Self { preset, phases: args.phases.into_iter().collect(), domain: args.domain }
    }
}
