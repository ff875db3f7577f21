//! Ctrl-C and the other signals that ask a command to stop: the first one politely, the second one at once.

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::exit::{Exit, Failure, Result};
use crate::live::restore_terminal;
use crate::output::say;

/// Tells when the command is asked to stop.
#[derive(Debug, Clone)]
pub struct Interrupts(watch::Receiver<Option<u8>>);

impl Interrupts {
    /// Listens to SIGINT, SIGTERM and SIGHUP from now on. The second one ends the process there and then: what is said of
    /// a run is durable before it is acted on, so that nothing needs a goodbye.
    ///
    /// # Errors
    /// A system that does not let us.
    pub fn listen() -> Result<Self> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::unavailable(format!("signals cannot be listened to: {error}")))
        };
        let mut interrupt = listen(SignalKind::interrupt())?;
        let mut terminate = listen(SignalKind::terminate())?;
        let mut hang_up = listen(SignalKind::hangup())?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let mut asked = false;
            loop {
                let signal = tokio::select! {
                    _ = interrupt.recv() => Signal::INT,
                    _ = terminate.recv() => Signal::TERM,
                    _ = hang_up.recv() => Signal::HUP,
                };
                let number = u8::try_from(signal.as_raw()).unwrap_or_default();
                if asked {
                    restore_terminal();
                    say(
                        "stopped at once; agents that were started may still run, the next command that needs them finds them",
                    );
                    std::process::exit(i32::from(Exit::Signal(number).code()));
                }
                asked = true;
                let _ = sender.send(Some(number));
            }
        });
        Ok(Self(receiver))
    }

    /// Waits for the first signal: its number.
    pub async fn first(&self) -> u8 {
        let mut receiver = self.0.clone();
        let asked = receiver.wait_for(Option::is_some).await.ok().and_then(|number| *number);
        match asked {
            Some(number) => number,
            // The listener ends with the runtime only.
            None => std::future::pending().await,
        }
    }
}
