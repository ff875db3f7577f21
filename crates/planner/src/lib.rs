//! Levels, critical path, strategy and pictures of a plan.
