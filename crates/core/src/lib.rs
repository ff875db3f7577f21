//! The pure heart of Tutti: workflows, plans, runs, rules and ports; no runtime, no clock, no I/O.
