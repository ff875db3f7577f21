//! The program as a developer runs it.

use std::process::Command;

#[test]
fn parallel_runs_are_faster_and_keep_their_width() {
    let done = Command::new(env!("CARGO_BIN_EXE_tutti-bench")).args(["figures", "--quick"]).output().unwrap();
    let shown = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{shown}\n{}", String::from_utf8_lossy(&done.stderr));
    for row in ["standard", "data science: 8 of 8 steps, at most 3 at once", "recovery, auto", "memory:"] {
        assert!(shown.contains(row), "{row} in\n{shown}");
    }
}

#[test]
fn what_it_does_not_know_is_refused() {
    for args in [["figures", "--slow"], ["--quick", "--slow"]] {
        let done = Command::new(env!("CARGO_BIN_EXE_tutti-bench")).args(args).output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8(done.stderr).unwrap().contains("usage:"));
    }
}

#[test]
fn a_server_comes_up_over_many_open_runs_without_loading_too_much_and_loses_none() {
    for store in ["postgres", "sqlite"] {
        let size = ["open-runs", "--runs", "2000", "--live", "100", "--store", store];
        let done = Command::new(env!("CARGO_BIN_EXE_tutti-bench")).args(size).output().unwrap();
        let shown = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success(), "{shown}\n{}", String::from_utf8_lossy(&done.stderr));
    }
}
