//! What suites have in common.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// Longest that a case may take: an adapter that hangs fails instead of stopping everything.
const DEADLINE: Duration = Duration::from_secs(120);

/// One rule of a contract, and the code that checks it.
#[derive(Debug, Clone, Copy)]
pub struct Case<S> {
    /// What holds.
    pub name: &'static str,
    /// Panics if it does not hold.
    pub run: fn(S) -> Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<S> Case<S> {
    /// Runs the case on a fresh subject, on a runtime of its own.
    ///
    /// # Panics
    /// If the rule does not hold, or if it takes two minutes.
    pub fn check<F: Future<Output = S>>(&self, fresh: impl FnOnce() -> F) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("threads for a runtime").block_on(async {
            let done = tokio::time::timeout(DEADLINE, (self.run)(fresh().await)).await;
            done.unwrap_or_else(|_| panic!("\"{}\" takes longer than {DEADLINE:?}", self.name));
        });
    }
}

/// Makes something of each case of a suite: a list of them, or a `#[test]` of each.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_case {
    ($suite:ident list() $($module:ident::$name:ident),+ $(,)?) => {
        vec![$($crate::conformance::Case {
            name: stringify!($name),
            run: |subject| Box::pin($module::$name(subject)),
        }),+]
    };
    ($suite:ident tests($fresh:expr) $($module:ident::$name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                $crate::conformance::$suite::case(stringify!($name)).check($fresh);
            }
        )+
    };
}
