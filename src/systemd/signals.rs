//! Signals, on one thread of their own, as a queue of [`Signal`]s.
//!
//! SIGTERM and SIGINT ask for an orderly end; a second one of either ends the process at once. SIGHUP asks
//! for a reload. SIGPIPE is ignored already, as in every Rust program. It does *not* drain or reload.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use tokio::sync::mpsc;

use crate::error::{Error, Kind, Result};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Drain and end (SIGTERM, SIGINT).
    Terminate,
    /// Read the configuration and the certificates again (SIGHUP).
    Reload,
}

/// Requests not yet looked at. Reloads beyond it are dropped: those in the queue will do.
const QUEUE: usize = 8;

/// Takes over the signals for the rest of the process's life. Call it once.
pub fn listen() -> Result<mpsc::Receiver<Signal>> {
    let fail = |error: std::io::Error| Error::us(Kind::Internal, format!("cannot handle signals: {error}"));
    final_at_the_second().map_err(fail)?;
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(fail)?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || forward(signals, &sender))
        .map_err(fail)?;
    Ok(receiver)
}

/// The order matters: the check comes before the flag is set, so that the first signal passes.
fn final_at_the_second() -> std::io::Result<()> {
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // What a shell reports for a process killed by this signal: 143, 130.
        flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())?;
        flag::register(signal, asked.clone())?;
    }
    Ok(())
}

fn forward(mut signals: Signals, sender: &mpsc::Sender<Signal>) {
    for number in signals.forever() {
        let delivered = match number {
            SIGHUP => sender.try_send(Signal::Reload).is_ok() || !sender.is_closed(),
            _ => sender.blocking_send(Signal::Terminate).is_ok(),
        };
        if !delivered {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;
    use std::process::Command;

    /// Set in the processes that [`child`] starts: elsewhere the tests for them do nothing.
    const CHILD: &str = "SWARMD_TEST_CHILD";

    /// Runs one of the ignored tests below in a process of its own, since signals belong to a process.
    fn child(name: &str) -> std::process::ExitStatus {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", &format!("systemd::signals::tests::{name}")])
            .env(CHILD, "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap()
    }

    #[test]
    fn each_signal_asks_for_its_thing() {
        assert!(child("child_reads_signals").success());
    }

    #[test]
    fn the_second_request_to_end_is_final() {
        assert_eq!(child("child_terminated_twice").code(), Some(143));
        assert_eq!(child("child_terminated_then_interrupted").code(), Some(130));
    }

    #[test]
    #[ignore = "run by each_signal_asks_for_its_thing"]
    fn child_reads_signals() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let mut signals = listen().unwrap();
        raise(SIGHUP).unwrap();
        assert_eq!(signals.blocking_recv(), Some(Signal::Reload));
        raise(SIGTERM).unwrap();
        assert_eq!(signals.blocking_recv(), Some(Signal::Terminate));
        // Reloads still pass while the drain runs.
        raise(SIGHUP).unwrap();
        assert_eq!(signals.blocking_recv(), Some(Signal::Reload));
    }

    #[test]
    #[ignore = "run by the_second_request_to_end_is_final"]
    fn child_terminated_twice() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let _signals = listen().unwrap();
        raise(SIGTERM).unwrap();
        raise(SIGTERM).unwrap();
    }

    #[test]
    #[ignore = "run by the_second_request_to_end_is_final"]
    fn child_terminated_then_interrupted() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        let _signals = listen().unwrap();
        raise(SIGTERM).unwrap();
        raise(SIGINT).unwrap();
    }
}
