//! How busy the system is, for the choice of an executor.

use std::time::Duration;

use tutti_core::workflow::{Executor, Workflow};
use tutti_planner::strategy::SystemLoad;

/// How long the processors are watched.
const SAMPLE: Duration = Duration::from_millis(100);

/// What an executor is to be chosen by; nothing is looked at if there is nothing to choose. This process has every place
/// for steps to itself.
pub async fn system(workflow: &Workflow) -> SystemLoad {
    match workflow.executor {
        Executor::Auto => SystemLoad { cpu: cpu_share().await, available_workers: Some(workflow.max_concurrent_tasks) },
        _ => SystemLoad::default(),
    }
}

/// Share of the processors in use over a moment, 0 to 1; `None` where the system does not tell.
async fn cpu_share() -> Option<f64> {
    let before = Ticks::read()?;
    tokio::time::sleep(SAMPLE).await;
    Ticks::read()?.share_since(before)
}

/// Time that the processors spent since the start of the system, in clock ticks.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line of `/proc/stat` (proc(5)): `cpu user nice system idle iowait irq softirq steal …`.
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> = line.split_ascii_whitespace().take(8).map_while(|field| field.parse().ok()).collect();
        let idle = fields.get(3)? + fields.get(4)?;
        Some(Self { all: fields.iter().sum(), idle })
    }

    fn share_since(self, before: Self) -> Option<f64> {
        let all = self.all.checked_sub(before.all).filter(|all| *all > 0)?;
        let idle = self.idle.saturating_sub(before.idle).min(all);
        Some(1.0 - idle as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_idle_is_in_use() {
        let before = Ticks::parse("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 2 3 4").unwrap();
        let after = Ticks::parse("cpu  40 0 20 120 20 0 0 0 5 5\n").unwrap();
        assert_eq!(after.share_since(before), Some(0.4));
        assert_eq!(before.share_since(before), None);
        assert!(Ticks::parse("intr 5").is_none());
    }
}
