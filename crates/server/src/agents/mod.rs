//! The agents of a run: read from an agents file, started where the file says how, and known by capability.

pub mod file;
mod fleet;
mod place;
mod process;
mod surroundings;
mod watch;

pub use file::AgentsFile;
pub use fleet::Fleet;
pub use place::Place;
