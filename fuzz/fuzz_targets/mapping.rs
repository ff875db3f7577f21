//! Paths and values laid over one another.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| tutti_testkit::properties::mapping_lines(text));
