//! Drives runs: driver, committer, dispatcher, executors.
