//! Logging in two phases: plain standard error while the configuration is read, then the real thing.
//!
//! The real thing is the journal with native fields (`journalctl NODE=pi1`) when standard error *is* the
//! journal, else readable lines on standard error; never both. Data meant for other programs goes to
//! standard output and is *not* logged.

use std::fmt;
use std::io::IsTerminal as _;

use nix::sys::stat::{FileStat, fstat};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

use crate::config::names::Named;
use crate::config::{Level, Role};
use crate::error::{Error, Kind, Result};

/// Changes the level at run time.
#[derive(Debug, Clone)]
pub struct Handle {
    filter: reload::Handle<Targets, Registry>,
}

impl Handle {
    /// Logs from `level` upwards from now on.
    pub fn set_level(&self, level: Level) {
        if let Err(error) = self.filter.reload(filter(level)) {
            tracing::warn!(%error, "could not change the log level");
        }
    }
}

/// Where the log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Output {
    Journal,
    Stderr { colours: bool, times: bool },
}

/// First phase: warnings of this thread as plain lines on standard error, until the guard is dropped.
#[must_use = "logging ends when the guard is dropped"]
pub fn early() -> DefaultGuard {
    let plain = stderr_layer(false, false);
    tracing::subscriber::set_default(tracing_subscriber::registry().with(filter(Level::Warn)).with(plain))
}

/// Second phase, once in a process, after the guard of [`early`] is gone. `role` goes into each entry of the journal.
pub fn init(level: Level, role: Role) -> Result<Handle> {
    let (filter, handle) = reload::Layer::new(filter(level));
    let output = output_layer(detect(), role);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(filter).with(output))
        .map_err(|error| Error::us(Kind::Internal, format!("cannot set up logging: {error}")))?;
    Ok(Handle { filter: handle })
}

/// Our own events from `level` on; of the libraries (rustls, hyper, h2) warnings at most. The client of ZooKeeper warns
/// of each attempt, of which we tell the outcome.
fn filter(level: Level) -> Targets {
    let ours = match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(ours.min(LevelFilter::WARN))
        .with_target("zookeeper_client", LevelFilter::ERROR)
        .with_target(env!("CARGO_PKG_NAME"), ours)
        // Who did what is on record whatever the level is.
        .with_target("swarmd::audit", ours.max(LevelFilter::INFO))
}

fn detect() -> Output {
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let stderr = fstat(std::io::stderr()).ok();
    if stream.as_deref().zip(stderr).is_some_and(|(stream, stat)| is_journal(stream, &stat)) {
        return Output::Journal;
    }
    let terminal = std::io::stderr().is_terminal();
    // A supervisor stamps each line itself.
    let supervised = ["NOTIFY_SOCKET", "INVOCATION_ID", "JOURNAL_STREAM"]
        .iter()
        .any(|name| std::env::var_os(name).is_some());
    Output::Stderr {
        colours: terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        times: terminal || !supervised,
    }
}

/// `JOURNAL_STREAM` is `device:inode` of the journal's stream (systemd.exec(5)). Being set does not say
/// enough: standard error may have been redirected since, and children inherit the variable.
fn is_journal(stream: &str, stderr: &FileStat) -> bool {
    stream == format!("{}:{}", stderr.st_dev, stderr.st_ino)
}

/// Lines for people as the journal wants them, if standard error is the journal: each with the priority of an error.
/// For what is said outside of the log, such as why the daemon could not start.
pub fn as_error(text: &str) -> String {
    match detect() {
        Output::Journal => {
            text.lines().map(|line| format!("<{}>{line}\n", priorities().error as u8 as char)).collect()
        }
        Output::Stderr { .. } => text.to_string(),
    }
}

fn output_layer<S>(output: Output, role: Role) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    match output {
        Output::Stderr { colours, times } => stderr_layer(colours, times),
        Output::Journal => match tracing_journald::layer() {
            Ok(layer) => layer
                .with_syslog_identifier(env!("CARGO_PKG_NAME").into())
                .with_field_prefix(None)
                .with_priority_mappings(priorities())
                .with_custom_fields([("ROLE", role.word())])
                .boxed(),
            Err(_) => stderr_layer(false, false),
        },
    }
}

/// One to one, so that `journalctl -p info` shows what we call info. (The crate's default is one step off.)
fn priorities() -> PriorityMappings {
    PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    }
}

fn stderr_layer<S>(colours: bool, times: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours).with_target(false);
    if times { layer.with_timer(Clock).boxed() } else { layer.without_time().boxed() }
}

/// RFC 3339 in UTC with whole seconds.
struct Clock;

impl FormatTime for Clock {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(&crate::clock::rfc3339(crate::clock::unix_seconds()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use tracing::Level as Tracing;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let dir = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(dir.path().join("stderr")).unwrap();
        let stat = fstat(&file).unwrap();
        let (dev, ino) = (stat.st_dev, stat.st_ino);
        assert!(is_journal(&format!("{dev}:{ino}"), &stat));
        for other in
            [format!("{dev}:{}", ino + 1), format!("{}:{ino}", dev + 1), dev.to_string(), String::new()]
        {
            assert!(!is_journal(&other, &stat), "{other:?}");
        }
    }

    #[test]
    fn our_level_is_free_and_libraries_stay_quiet() {
        for (level, target, at, shown) in [
            (Level::Debug, "swarmd::engine", Tracing::DEBUG, true),
            (Level::Debug, "swarmd::engine", Tracing::TRACE, false),
            (Level::Debug, "h2::codec", Tracing::INFO, false),
            (Level::Debug, "rustls", Tracing::WARN, true),
            (Level::Info, "swarmd", Tracing::DEBUG, false),
            (Level::Info, "swarmd", Tracing::INFO, true),
            (Level::Warn, "swarmd", Tracing::INFO, false),
            (Level::Error, "hyper", Tracing::WARN, false),
            (Level::Debug, "zookeeper_client::session", Tracing::WARN, false),
            (Level::Error, "swarmd", Tracing::ERROR, true),
            (Level::Error, "swarmd::audit", Tracing::INFO, true),
        ] {
            assert_eq!(filter(level).would_enable(target, &at), shown, "{level:?} {target} {at}");
        }
    }

    /// Keeps the levels of the events that reach it.
    #[derive(Clone, Default)]
    struct Seen(Arc<Mutex<Vec<Tracing>>>);

    impl<S: Subscriber> Layer<S> for Seen {
        fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }

    #[test]
    fn the_level_changes_at_run_time() {
        let seen = Seen::default();
        let (layer, filter) = reload::Layer::new(filter(Level::Info));
        let handle = Handle { filter };
        let subscriber = tracing_subscriber::registry().with(layer).with(seen.clone());
        tracing::subscriber::with_default(subscriber, || {
            let events = || {
                tracing::debug!("for developers");
                tracing::info!("for everybody");
                tracing::warn!("for the one on call");
            };
            events();
            handle.set_level(Level::Debug);
            events();
            handle.set_level(Level::Warn);
            events();
        });
        let expected =
            [Tracing::INFO, Tracing::WARN, Tracing::DEBUG, Tracing::INFO, Tracing::WARN, Tracing::WARN];
        assert_eq!(*seen.0.lock().unwrap(), expected);
    }

    #[test]
    fn priorities_are_those_of_syslog() {
        let p = priorities();
        let digits = [p.error, p.warn, p.info, p.debug].map(|priority| char::from(priority as u8));
        assert_eq!(digits, ['3', '4', '6', '7']);
    }
}
