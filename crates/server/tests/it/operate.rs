//! Work on many runs at once, and lists by filters.

use crate::host::Host;
use crate::support::{Done, Place};

/// Three runs that hold, two of team a and one of team b, with no step done.
fn held(place: &Place, host: &Host) -> [String; 3] {
    ["a", "a", "b"].map(|team| {
        let run = host.submit(place, &["--label", &format!("team={team}")]);
        host.tutti(place, &["pause", &run, "--reason", "test"]).expect(0);
        run
    })
}

fn names(done: &Done) -> Vec<&str> {
    done.stdout.lines().collect()
}

#[test]
fn lists_and_counts_go_by_filters_at_a_server_and_in_its_store() {
    let place = Place::with_delay(30_000);
    let host = Host::start(&place);
    let [first, second, other] = held(&place, &host);
    let last = host.submit(&place, &["--key", "order/31", "--session", "s-1", "--label", "team=a b"]);
    for (filter, expected) in [
        ("label.team=a", vec![&second, &first]),
        ("-label.team=a state:paused", vec![&other]),
        ("key:order/31 session:s-1", vec![&last]),
        ("label.team=\"a b\" since:1h", vec![&last]),
        ("until:1h", vec![]),
    ] {
        for done in [
            host.tutti(&place, &["list", "-o", "name", "-f", filter]).expect(0),
            place.tutti(&["list", "-o", "name", "-f", filter]).expect(0),
        ] {
            assert_eq!(names(&done), expected, "{filter}");
        }
    }
    let both = ["list", "-f", "label.team=a", "--state", "paused", "--workflow", "chain", "-o", "name"];
    assert_eq!(names(&host.tutti(&place, &both).expect(0)).len(), 2);
    for args in [&["list", "--count", "-o", "json"][..], &["list", "--count", "-f", "workflow:chain", "-o", "jsonl"]] {
        for done in [host.tutti(&place, args).expect(0), place.tutti(args).expect(0)] {
            let counted = done.json();
            assert_eq!((&counted["counts"]["paused"], &counted["total"]), (&3.into(), &4.into()), "{counted}");
        }
    }
    let text = place.tutti(&["list", "--count", "--state", "paused"]).expect(0).stdout;
    assert_eq!(text, "paused              3\ntotal               3\n");
    let wrong = place.tutti(&["list", "-f", "colour:red"]).expect(2).stderr;
    assert!(wrong.contains("the filter term \"colour:red\": is not a term"), "{wrong}");
}

#[test]
fn many_runs_are_shown_before_anything_is_done_and_one_that_fails_does_not_keep_it_from_the_others() {
    let place = Place::with_delay(30_000);
    let host = Host::start(&place);
    let [first, second, other] = held(&place, &host);
    let states = || [&first, &second, &other].map(|run| host.state(&place, run));
    let by_filter = |verb: &'static str, more: &[&str]| {
        host.tutti(&place, &[&[verb, "-f", "label.team=a", "--reason", "test"], more].concat())
    };
    let shown = by_filter("cancel", &["--dry-run"]).expect(0);
    assert!(shown.stderr.contains("2 runs would be cancelled"), "{}", shown.stderr);
    assert!(shown.stdout.contains(&first) && shown.stdout.contains(&second) && !shown.stdout.contains(&other));
    // Nobody can be asked here. What may be meant is said first.
    for verb in ["cancel", "resume", "terminate"] {
        let refused = by_filter(verb, &[]).expect(2);
        assert!(refused.stderr.contains(&format!("{verb} 2 runs? Nobody can be asked here")), "{}", refused.stderr);
        assert!(refused.stderr.contains(&first) && refused.stderr.contains("--yes"), "{}", refused.stderr);
    }
    assert_eq!(states(), ["paused"; 3]);
    assert!(by_filter("retry", &["--yes"]).expect(0).stderr.contains("no runs"), "none has failed");
    let gone_on = by_filter("resume", &["--yes"]).expect(0).stderr;
    assert!(gone_on.contains(&format!("run {first} goes on")) && gone_on.contains(&format!("run {second} goes on")));
    assert_eq!(states(), ["running", "running", "paused"]);

    // Named ones are taken as they are: one that has ended fails, the others do not.
    host.tutti(&place, &["terminate", &first, "--reason", "x", "--yes"]).expect(0);
    let some = host.tutti(&place, &["cancel", &second, &first, &other, "--reason", "x", "--yes"]).expect(2).stderr;
    assert!(some.contains("1 of 3 runs failed") && some.contains(&format!("  {first}: ")), "{some}");
    assert_eq!(states(), ["terminated", "cancelled", "cancelled"]);
    assert!(by_filter("cancel", &["--yes"]).expect(0).stderr.contains("no runs"), "all have ended");
    host.tutti(&place, &["cancel", "--reason", "x"]).expect(2);
}

#[test]
fn a_store_that_no_engine_has_takes_the_same_words() {
    let place = Place::with_delay(30_000);
    let host = Host::start(&place);
    held(&place, &host);
    drop(host);
    let cancel = ["cancel", "-f", "label.team=a", "--reason", "test", "--yes"];
    let done = place.tutti(&cancel).expect(0).stderr;
    assert_eq!(done.matches(" is cancelled").count(), 2, "{done}");
    assert_eq!(names(&place.tutti(&["list", "-o", "name", "-f", "state:cancelled"]).expect(0)).len(), 2);
    let resume = place.tutti(&["resume", "-f", "state:paused", "--yes"]).expect(2).stderr;
    assert!(resume.contains("next:  tutti serve in another terminal"), "{resume}");
}

#[test]
fn a_store_that_a_server_has_takes_them_too_and_what_is_advised_names_it() {
    let place = Place::with_delay(30_000);
    let store = ["--store", "sqlite:own.db"];
    let host = Host::with(&place, &store);
    let [first, ..] = held(&place, &host);
    let by_store = |args: &[&str]| place.tutti(&[args, &store].concat());
    let gone_on = by_store(&["resume", "-f", "label.team=a", "--yes"]).expect(0).stderr;
    assert_eq!(gone_on.matches(" goes on").count(), 2, "{gone_on}");
    assert_eq!(host.state(&place, &first), "running");
    let unknown = by_store(&["get", "0123", "--namespace", "red"]).expect(2).stderr;
    assert!(unknown.contains("next:  tutti list --store sqlite:own.db --namespace red\n"), "{unknown}");
    let unknown = host.tutti(&place, &["get", "0123"]).expect(2).stderr;
    assert!(unknown.contains(&format!("next:  tutti list --server {}\n", host.url)), "{unknown}");
}
