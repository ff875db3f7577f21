//! The store ports on an embedded SQLite file.
