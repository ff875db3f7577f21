//! Pictures of a plan: text for a terminal, Mermaid and DOT for others to draw.

mod dot;
mod mermaid;
mod text;

pub use dot::dot;
pub use mermaid::mermaid;
pub use text::text;
