//! Memory adapters, conformance suites, simulator and real test agents.
