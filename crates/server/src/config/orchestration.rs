//! How runs are orchestrated: the preset, its switches and the domains.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tutti_core::ids::Capability;
use tutti_core::orchestration::{Domain, Phase, Preset, Rules, Wishes, switch};

use super::sections::Mode;

/// How runs are orchestrated whose workflow and submission say nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OrchestrationConfig {
    /// The preset. `auto`: that of `execution.mode` if it is set: `lightweight` under `basic`, else `full`. If it is not set, runs
    /// go by the defaults, which are those of `full`, and tell no phases.
    pub preset: PresetChoice,
    /// Phases that are on or off whatever the preset, each a text: `quality=off`. The phases are analysis, planning, streaming,
    /// quality, sessions, error_handling and artifacts.
    #[schemars(with = "Vec<String>")]
    pub phases: Vec<Switch>,
    /// The domain of runs that name none.
    pub domain: Option<String>,
    /// Domains, each a text: `travel specialists=flight.book,hotel.book quality=GENERIC threshold=0.9
    /// thresholds=accuracy:0.95 session_timeout=30m preset=full phases=quality=off`. All but the name may be left out. Runs of a
    /// domain ask its specialists only.
    #[schemars(with = "Vec<String>")]
    pub domains: Vec<DomainText>,
    /// The results of a run that has several are put together at its end, if an agent offers that.
    pub synthesize: bool,
    /// What that agent must be able to do.
    #[serde(with = "super::text")]
    #[schemars(with = "String")]
    pub synthesis: Capability,
}

/// The preset of runs that name none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PresetChoice {
    /// That of the mode of execution, if it is set.
    #[default]
    Auto,
    /// Most phases are off.
    Lightweight,
    /// All phases.
    Full,
}

/// A phase that is switched on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Switch(Phase, bool);

/// A domain, as a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainText(String);

impl Default for OrchestrationConfig {
    fn default() -> Self {
        Self {
            preset: PresetChoice::Auto,
            phases: Vec::new(),
            domain: None,
            domains: Vec::new(),
            synthesize: true,
            synthesis: "result.synthesize".parse().expect("a plain word is a capability"),
        }
    }
}

impl OrchestrationConfig {
    /// The same where the mode of execution is set.
    pub fn under(self, mode: Mode) -> Self {
        let preset = match (self.preset, mode) {
            (PresetChoice::Auto, Mode::Basic) => PresetChoice::Lightweight,
            (PresetChoice::Auto, Mode::Enhanced | Mode::Parallel) => PresetChoice::Full,
            (chosen, _) => chosen,
        };
        Self { preset, ..self }
    }

    /// The rules that it stands for.
    pub fn rules(&self) -> Rules {
        let preset = match self.preset {
            PresetChoice::Auto => None,
            PresetChoice::Lightweight => Some(Preset::Lightweight),
            PresetChoice::Full => Some(Preset::Full),
        };
        let phases = self.phases.iter().map(|Switch(phase, on)| (*phase, *on)).collect();
        let domains = self.domains.iter().filter_map(|text| text.0.parse::<Domain>().ok());
        Rules {
            wishes: Wishes { preset, phases, domain: self.domain.clone() },
            domains: domains.map(|domain| (domain.name.clone(), domain)).collect(),
            synthesis: self.synthesize.then(|| self.synthesis.clone()),
        }
    }
}

impl FromStr for DomainText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<Domain>().map(|domain| Self(domain.to_string()))
    }
}

impl TryFrom<String> for DomainText {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DomainText> for String {
    fn from(domain: DomainText) -> Self {
        domain.0
    }
}

impl TryFrom<String> for Switch {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        switch(&text).map(|(phase, on)| Self(phase, on))
    }
}

impl From<Switch> for String {
    fn from(switch: Switch) -> Self {
        switch.to_string()
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.0, if self.1 { "on" } else { "off" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_that_is_set_names_the_preset() {
        let preset = |mode| OrchestrationConfig::default().under(mode).rules().wishes.preset;
        assert_eq!(OrchestrationConfig::default().rules().wishes, Wishes::default());
        assert_eq!(preset(Mode::Basic), Some(Preset::Lightweight));
        assert_eq!(preset(Mode::Enhanced), Some(Preset::Full));
        assert_eq!(preset(Mode::Parallel), Some(Preset::Full));
        let chosen = OrchestrationConfig { preset: PresetChoice::Full, ..OrchestrationConfig::default() };
        assert_eq!(chosen.under(Mode::Basic).preset, PresetChoice::Full);
    }

    #[test]
    fn domains_and_switches_are_texts() {
        let config: OrchestrationConfig = serde_json::from_str(
            r#"{"domains": ["travel specialists=a,b preset=lightweight"], "phases": ["quality=off"], "domain": "travel"}"#,
        )
        .unwrap();
        let rules = config.rules();
        assert_eq!(rules.domains["travel"].specialists.len(), 2);
        assert_eq!(rules.wishes.phases.get(&Phase::Quality), Some(&false));
        for wrong in [r#"{"domains": ["travel speed=9"]}"#, r#"{"phases": ["judging=off"]}"#] {
            assert!(serde_json::from_str::<OrchestrationConfig>(wrong).is_err(), "{wrong}");
        }
    }
}
