use std::sync::Arc;

use tutti_adapters_memory::MemoryStore;

use super::*;
use crate::given::run_id;
use crate::sim::{Rng, draw};

fn in_memory() -> Stores {
    Stores::of(Arc::new(MemoryStore::new()))
}

/// A random workflow whose agents all do what they are asked.
fn drawn(seed: u64) -> Script {
    let case = draw(&mut Rng::new(seed));
    let none = vec![false; case.plan.len()];
    let fails = vec![0; case.plan.len()];
    let case = Case { impossible: none.clone(), asks: none, ..case };
    Script::new("drawn", case, fails)
}

#[tokio::test]
async fn every_shape_survives_the_death_of_its_owner_at_every_write() {
    for script in shapes() {
        for executor in EXECUTORS {
            let stores = in_memory();
            let swept = sweep(&script, executor, 7, &mut async || stores.clone()).await;
            assert!(swept.points >= 10, "{} has {} points", script.name, swept.points);
            assert!(swept.found_again > 0, "{}: no task was found again", script.name);
            assert!(swept.sent_late > 0, "{}: no message was sent late", script.name);
        }
    }
}

#[tokio::test]
async fn every_way_to_recover_survives_the_death_of_its_owner_at_every_write() {
    for script in recoveries() {
        for executor in EXECUTORS {
            let stores = in_memory();
            let swept = sweep(&script, executor, 11, &mut async || stores.clone()).await;
            assert!(swept.points >= 4, "{} has {} points", script.name, swept.points);
        }
    }
}

#[tokio::test]
async fn random_workflows_end_the_same_under_both_executors_in_random_orders() {
    for seed in 0..80 {
        let script = drawn(seed);
        let reference = script.case.reference();
        for executor in EXECUTORS {
            for order in 0..8 {
                let played =
                    play(&script, executor, run_id(1), None, &mut Order::random(order), &mut async || in_memory())
                        .await;
                let steps: Vec<_> = played.end.steps.iter().map(|(status, _)| *status).collect();
                let about = format!("seed {seed}, {executor:?}, order {order}");
                assert_eq!(steps, reference.steps, "{about}");
                assert_eq!(played.end.data, reference.data, "{about}");
                assert_eq!(played.end.messages, script.case.plan.len(), "{about}: one message for each step");
            }
        }
    }
}

/// The workflows are small, so that no order is left out.
#[tokio::test]
async fn small_workflows_end_the_same_in_every_order() {
    let (mut orders, mut most) = (0, 0);
    let small = (0..).map(drawn).filter(|script| (2..=5).contains(&script.case.plan.len())).take(40);
    for script in small {
        let reference = script.case.reference();
        for executor in EXECUTORS {
            let mut order = Order::Turns(Turns::default());
            let mut count = 0;
            loop {
                let played = play(&script, executor, run_id(1), None, &mut order, &mut async || in_memory()).await;
                assert_eq!(played.end.data, reference.data, "{}", script.case.plan.workflow().id);
                count += 1;
                let Order::Turns(turns) = &mut order else { unreachable!() };
                if !turns.advance() {
                    break;
                }
            }
            assert!(executor == Executor::Parallel || count == 1, "one after another there is one order");
            (orders, most) = (orders + count, most.max(count));
        }
    }
    assert!(most >= 24, "the workflow with most orders has {most}");
    assert!(orders > 200, "{orders} orders");
}
