//! `tutti completion`: what shells complete by.

use std::process::{Command, Stdio};

use crate::support::Place;

#[test]
fn each_shell_gets_a_script_that_knows_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.tutti(&["completion", shell]).expect(0).stdout;
        for verb in ["run", "resume", "artifacts", "completion"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
    place.tutti(&["completion", "cmd"]).expect(2);
}

#[test]
fn bash_takes_its_script() {
    let place = Place::new();
    let script = place.write("tutti.bash", &place.tutti(&["completion", "bash"]).expect(0).stdout);
    let mut bash = Command::new("bash");
    bash.args(["-c", ". \"$0\" && complete -p tutti", &script]).stderr(Stdio::inherit());
    let done = bash.output().unwrap();
    assert!(String::from_utf8(done.stdout).unwrap().contains("_tutti"));
}
