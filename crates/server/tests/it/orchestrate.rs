//! Presets, phases and domains: over real agents, through a kill, from the command line, the environment and a server.

use rustix::process::Signal;
use serde_json::Value;

use crate::host::Host;
use crate::support::{Place, about, until};

const PHASES: [&str; 7] = ["analysis", "planning", "streaming", "quality", "sessions", "error_handling", "artifacts"];

const STUBS: &str = "agents:
  - name: finder
    skills:
      flight.find:
        - {fail: unavailable, times: 1}
        - {answer: {price: 900}, delay: 400ms, quality: {completeness: 0.95}}
      hotel.find: {answer: {price: 700}}
  - name: writer
    skills:
      result.synthesize: {answer: {sum: '${input.flight.price} and ${input.hotel.price}'}, delay: 100ms}
";

const WORKFLOW: &str = "id: trip
steps:
  - {id: flight, capability: flight.find, retry: {backoff: 20ms}, output: {'*': flight}}
  - {id: hotel, capability: hotel.find, output: {'*': hotel}}
";

const CONFIG: &str = "[orchestration]
domains = [\"travel specialists=flight.find,hotel.find session_timeout=30m preset=full phases=quality=off\", \"words specialists=text.write\"]
";

/// A folder with the workflow, its agents and the domains; the workflow's file.
fn trip(place: &Place) -> String {
    place.write("stubs.yaml", STUBS);
    place.write("tutti.toml", CONFIG);
    let agent = |name: &str, offers: &str| {
        format!(
            "  - name: {name}\n    capabilities: [{offers}]\n    command: [\"{{self}}\", agent, stub, \"{{dir}}/stubs.yaml\", \
             --agent, {name}, --port, \"{{port}}\"]\n"
        )
    };
    let agents = [agent("finder", "flight.find, hotel.find"), agent("writer", "result.synthesize")].concat();
    place.write("agents.yaml", &format!("agents:\n{agents}"));
    place.write("w.yaml", WORKFLOW)
}

fn phase<'r>(report: &'r Value, name: &str) -> &'r Value {
    let place = PHASES.iter().position(|phase| *phase == name).unwrap();
    let phase = &report["orchestration"]["phases"][place];
    assert_eq!(phase["phase"], name, "the phases are told in their order: {report}");
    phase
}

/// The parts of a run's time are together the whole, within one part of a hundred.
fn is_whole(report: &Value) {
    let of = |part: &str| report["phase_breakdown"][part].as_f64().unwrap();
    let sum = of("planning") + of("execution") + of("validation") + of("aggregation");
    assert!((sum - of("total")).abs() <= of("total") / 100.0, "{}", report["phase_breakdown"]);
    let before = of("total") - report["duration"].as_f64().unwrap();
    assert!(before >= -1e-6, "what was before the run is a part of it: {before}");
}

#[test]
fn the_seven_phases_are_the_same_after_a_kill() {
    let place = Place::new();
    let file = trip(&place);
    let running = place.start(&["run", &file, "--preset", "full", "--progress", "quiet"]);
    until("the second attempt", || (about(&place.events(), "AttemptStarted", "flight").len() > 1).then_some(()));
    running.signal(Signal::KILL);
    running.end();
    let report = place.tutti(&["resume", "latest", "-o", "json"]).expect(0).json();
    assert_eq!(report["orchestration"]["preset"], "full");
    for name in PHASES {
        assert_eq!(phase(&report, name)["enabled"], true, "{name}");
        let is_reached = phase(&report, name)["reached_at"].is_string();
        assert_eq!(is_reached, name != "planning", "{name}: a workflow that is given needs no planner");
    }
    assert!(phase(&report, "artifacts")["note"].as_str().unwrap().contains("the result by step result"));
    is_whole(&report);
    assert!(report["phase_breakdown"]["aggregation"].as_f64().unwrap() >= 0.09, "{}", report["phase_breakdown"]);
    assert!(place.data().contains("900 and 700"), "{}", place.data());
    let again = place.tutti(&["get", "latest", "-o", "json"]).expect(0).json();
    assert_eq!(again["orchestration"], report["orchestration"], "told from the history alone");
}

#[test]
fn presets_come_from_the_environment_the_workflow_and_flags() {
    let place = Place::new();
    let file = trip(&place);
    let report = |environment: &[(&str, &str)], file: &str, flags: &[&str]| -> Value {
        let args = [&["run", file, "-o", "json"], flags].concat();
        let output = place.command(&args).envs(environment.iter().copied()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    };
    let plain = report(&[], &file, &[]);
    assert_eq!((&plain["orchestration"], plain["steps"].as_array().unwrap().len()), (&Value::Null, 2));
    is_whole(&plain);
    let basic = report(&[("ORCHESTRATION_MODE", "basic")], &file, &[]);
    assert_eq!((&basic["orchestration"]["preset"], &basic["executor"]), (&"lightweight".into(), &"basic".into()));
    assert_eq!(phase(&basic, "quality")["enabled"], false);
    let flags = ["--phase", "quality=off"];
    let parallel = report(&[("ORCHESTRATION_MODE", "parallel")], &file, &flags);
    assert_eq!((&parallel["orchestration"]["preset"], &parallel["executor"]), (&"full".into(), &"parallel".into()));
    assert_eq!(phase(&parallel, "quality")["note"], "off");
    let braked = [("ORCHESTRATION_MODE", "parallel"), ("ENABLE_PARALLEL_EXECUTION", "false")];
    assert_eq!(report(&braked, &file, &[])["executor"], "basic");
    let own = place.write("own.yaml", &format!("preset: lightweight\nphases: {{error_handling: true}}\n{WORKFLOW}"));
    let own = report(&[], &own, &[]);
    assert_eq!((&own["orchestration"]["preset"], &own["executor"]), (&"lightweight".into(), &"basic".into()));
    assert_eq!(phase(&own, "error_handling")["count"], 1);
    let domain = report(&[], &file, &["--domain", "travel"]);
    assert_eq!(
        (&domain["orchestration"]["domain"], &domain["orchestration"]["preset"]),
        (&"travel".into(), &"full".into())
    );
    let refused = place.tutti(&["run", &file, "--domain", "words"]).expect(2).stderr;
    assert!(refused.contains("the domain words has no specialist for flight.find"), "{refused}");
    let unknown = place.tutti(&["run", &file, "--domain", "nowhere"]).expect(2).stderr;
    assert!(unknown.contains("is no domain; known: travel, words"), "{unknown}");
}

#[test]
fn a_server_orchestrates_what_is_submitted_and_tells_it_after_a_restart() {
    let place = Place::new();
    let file = trip(&place);
    let host = Host::with(&place, &[]);
    let args = ["submit", &file, "--wait", "-o", "json", "--preset", "full", "--domain", "travel", "--session", "s"];
    let report = host.tutti(&place, &args).expect(0).json();
    assert_eq!(report["orchestration"]["domain"], "travel");
    assert_eq!(phase(&report, "quality")["enabled"], false, "the domain switches it off");
    assert_eq!(phase(&report, "sessions")["note"], "session s");
    is_whole(&report);
    let run = report["run_id"].as_str().unwrap();
    let host = host.again_with(&place, &[]);
    let told = host.tutti(&place, &["get", run]).expect(0).stdout;
    assert!(told.contains("Phases of preset full, domain travel") && told.contains("7 artifacts and result"), "{told}");
    let lonely = ["submit", &file, "--wait", "-o", "json", "--phase", "sessions=off", "--session", "s"];
    let lonely = host.tutti(&place, &lonely).expect(0).json();
    assert_eq!(phase(&lonely, "sessions")["note"], "off");
    let of_session = host.tutti(&place, &["list", "-f", "session:s", "-o", "name"]).expect(0).stdout;
    assert_eq!(of_session.lines().count(), 1, "the run without a session is none of it");
}
