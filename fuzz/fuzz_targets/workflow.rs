//! Any text is a workflow, or refused with reasons.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| tutti_testkit::properties::workflow_text(text));
