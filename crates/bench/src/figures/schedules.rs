//! The schedules: steps with their times, and what they must take.

/// A workflow of steps that take known times.
pub struct Schedule {
    /// Its name.
    pub name: &'static str,
    /// The steps: id, seconds, dependencies.
    pub steps: &'static [(&'static str, f64, &'static [&'static str])],
    /// What it takes one step after another, in seconds.
    pub sequential: f64,
    /// What its longest chain takes, in seconds.
    pub parallel: f64,
    /// Most steps at work at once.
    pub peak: usize,
}

impl Schedule {
    /// The share of time that running in parallel saves.
    pub fn reduction(&self) -> f64 {
        1.0 - self.parallel / self.sequential
    }
}

/// Every schedule that is run both ways.
pub const SCHEDULES: &[Schedule] = &[
    Schedule {
        name: "simple",
        steps: &[("plan", 2.0, &[]), ("work", 4.0, &["plan"]), ("report", 1.0, &["work"])],
        sequential: 7.0,
        parallel: 7.0,
        peak: 1,
    },
    Schedule {
        name: "standard",
        steps: &[
            ("plan", 2.0, &[]),
            ("a", 5.0, &["plan"]),
            ("b", 4.0, &["plan"]),
            ("c", 3.0, &["plan"]),
            ("report", 1.0, &["a", "b", "c"]),
        ],
        sequential: 15.0,
        parallel: 8.0,
        peak: 3,
    },
    Schedule {
        name: "complex",
        steps: &[
            ("plan", 2.0, &[]),
            ("a", 5.0, &["plan"]),
            ("a-after", 4.0, &["a"]),
            ("b", 5.0, &["plan"]),
            ("b-after", 4.0, &["b"]),
            ("c", 4.0, &["plan"]),
            ("report", 1.0, &["a-after", "b-after", "c"]),
        ],
        sequential: 25.0,
        parallel: 12.0,
        peak: 3,
    },
    Schedule {
        name: "Tokyo",
        steps: &[("plan", 2.0, &[]), ("flights", 5.0, &["plan"]), ("hotel", 4.0, &["plan"]), ("car", 3.0, &["plan"])],
        sequential: 14.0,
        parallel: 7.0,
        peak: 3,
    },
    Schedule {
        name: "data pipeline",
        steps: &[
            ("plan", 2.0, &[]),
            ("validate", 5.0, &["plan"]),
            ("analyze", 4.0, &["plan"]),
            ("notify", 3.0, &["plan"]),
        ],
        sequential: 14.0,
        parallel: 7.0,
        peak: 3,
    },
    Schedule {
        name: "family",
        steps: &[
            ("plan", 3.0, &[]),
            ("flight-1", 5.0, &["plan"]),
            ("hotel-1", 4.0, &["plan"]),
            ("flight-2", 5.0, &["flight-1"]),
            ("hotel-2", 4.0, &["hotel-1"]),
            ("activities", 3.0, &["hotel-1"]),
        ],
        sequential: 24.0,
        parallel: 13.0,
        peak: 3,
    },
    Schedule {
        name: "orders",
        steps: &[
            ("plan", 3.0, &[]),
            ("payment", 5.0, &["plan"]),
            ("inventory", 4.0, &["plan"]),
            ("shipping", 5.0, &["payment"]),
            ("email", 4.0, &["inventory"]),
            ("sms", 3.0, &["inventory"]),
        ],
        sequential: 24.0,
        parallel: 13.0,
        peak: 3,
    },
];

/// The data science pipeline: eight steps of a second each on five levels.
pub const DATA_SCIENCE: Schedule = Schedule {
    name: "data science",
    steps: &[
        ("generate-a", 1.0, &[]),
        ("generate-b", 1.0, &[]),
        ("generate-c", 1.0, &[]),
        ("analyze", 1.0, &["generate-a", "generate-b", "generate-c"]),
        ("train-alpha", 1.0, &["analyze"]),
        ("train-beta", 1.0, &["analyze"]),
        ("ensemble", 1.0, &["train-alpha", "train-beta"]),
        ("report", 1.0, &["ensemble"]),
    ],
    sequential: 8.0,
    parallel: 5.0,
    peak: 3,
};

/// Three steps side by side, of which one fails once.
pub const RECOVERY: Schedule = Schedule {
    name: "recovery",
    steps: &[("a", 1.0, &[]), ("b", 1.0, &[]), ("c", 1.0, &[])],
    sequential: 3.0,
    parallel: 1.0,
    peak: 3,
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn the_times_follow_from_the_steps() {
        for schedule in SCHEDULES.iter().chain([&DATA_SCIENCE, &RECOVERY]) {
            let mut ends: HashMap<&str, f64> = HashMap::new();
            let mut total = 0.0;
            for (id, seconds, on) in schedule.steps {
                let start = on.iter().map(|on| ends[on]).fold(0.0, f64::max);
                ends.insert(id, start + seconds);
                total += seconds;
            }
            assert_eq!(total, schedule.sequential, "{}", schedule.name);
            assert_eq!(ends.values().copied().fold(0.0, f64::max), schedule.parallel, "{}", schedule.name);
        }
    }
}
