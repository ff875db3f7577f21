//! A run that takes its server down again and again.

use crate::host::{Host, said};
use crate::support::{Place, about, until};

const STUBS: &str = "agents:
  - name: odd
    skills:
      take.down: {delay: 1h, answer: 1}
  - name: plain
    skills:
      do.it: {answer: 1}
";

/// As often as its owner may be lost after it took the run over; one more lost it after it had begun it.
const LIVES: usize = 4;

#[test]
fn a_run_whose_servers_die_is_set_aside_and_its_neighbours_finish() {
    let place = Place::new();
    let stubs = place.write("stubs.yaml", STUBS);
    let poison = place.write("poison.yaml", "id: poison\nsteps: [{id: s, capability: take.down, timeout: 1h}]\n");
    let quick = place.write("quick.yaml", "id: quick\nsteps: [{id: s, capability: do.it}]\n");
    let agents = place.path().join("made.yaml").display().to_string();
    // Of its own process, so that it lives on when servers die.
    let _stub = place.start(&["agent", "stub", &stubs, "--agents-file", &agents]);
    until("the agents file", || std::fs::metadata(&agents).ok());
    let serve = ["--agents", &agents];
    let mut host = Host::with(&place, &serve);
    let run = host.submit_file(&place, &poison, &[]);
    let events =
        |host: &Host| crate::support::jsonl(&host.tutti(&place, &["events", &run, "-o", "jsonl"]).expect(0).stdout);
    until("the task", || (!about(&events(&host), "TaskAssigned", "s").is_empty()).then_some(()));

    let mut neighbours = Vec::new();
    for life in 1..=LIVES {
        neighbours.push(host.submit_file(&place, &quick, &[]));
        // SIGKILL, as the step would do it.
        host = host.again_with(&place, &serve);
        if life < LIVES {
            let taken = || said(&place).matches("runs that go on: ").count() >= life;
            until("the run to be taken over", || taken().then_some(()));
            assert_eq!(host.state(&place, &run), "running", "after {life} servers");
        }
    }
    until("the run to be set aside", || (host.state(&place, &run) == "quarantined").then_some(()));
    for neighbour in &neighbours {
        host.follow(&place, neighbour);
        assert_eq!(host.state(&place, neighbour), "completed");
    }
    let recorded = events(&host);
    assert_eq!(recorded.iter().filter(|event| event["event"] == "RunQuarantined").count(), 1);
    let told = host.tutti(&place, &["explain", &run]).expect(0).stdout;
    assert!(told.contains("It is set aside: ") && told.contains("  tutti resume "), "{told}");

    // Nobody takes it over by himself any more; somebody who has mended it lets it go on.
    host = host.again_with(&place, &serve);
    let neighbour = host.submit_file(&place, &quick, &[]);
    host.follow(&place, &neighbour);
    assert_eq!(host.state(&place, &run), "quarantined");
    host.tutti(&place, &["resume", &run, "--reason", "mended"]).expect(0);
    assert_eq!(host.state(&place, &run), "running");
}
