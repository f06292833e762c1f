//! What we tell the supervisor: ready, status, reloading, stopping, alive (sd_notify(3)).
//!
//! Without `NOTIFY_SOCKET` all of it does nothing. It does *not* decide what "alive" means: the caller of
//! [`spawn_watchdog`] does.

use std::io::{IoSlice, Read as _};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use sd_notify::NotifyState;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::systemd::beat;

/// A supervisor that does not read must not hold us up for longer than this.
const SEND_DEADLINE: Duration = Duration::from_millis(500);

/// How long to wait until it has done what it was told.
const SETTLE_DEADLINE: Duration = Duration::from_secs(2);

/// Longer status texts are cut: `systemctl status` shows one line.
const STATUS_LIMIT: usize = 400;

/// The name under which the supervisor keeps sockets for us.
pub const KEPT: &str = "kept";

/// The line to the supervisor. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Notifier {
    line: Option<Arc<Line>>,
}

#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    supervisor: UnixAddr,
    watchdog: Option<Duration>,
    last_status: Mutex<String>,
}

impl Notifier {
    /// The supervisor named by `NOTIFY_SOCKET` and `WATCHDOG_USEC`, or none.
    pub fn from_env() -> Notifier {
        match std::env::var_os("NOTIFY_SOCKET") {
            Some(address) => Notifier::to(address.as_bytes(), sd_notify::watchdog_enabled()),
            None => Notifier::default(),
        }
    }

    /// A supervisor at `address`: a path, or `@name` for an abstract socket. One that cannot be reached is
    /// treated as none, with a warning: a daemon must not fail for want of someone to tell.
    pub fn to(address: &[u8], watchdog: Option<Duration>) -> Notifier {
        match Line::open(address, watchdog) {
            Ok(line) => Notifier { line: Some(Arc::new(line)) },
            Err(error) => {
                tracing::warn!(%error, "the supervisor's notify socket cannot be used");
                Notifier::default()
            }
        }
    }

    /// Whether a supervisor listens.
    pub fn is_connected(&self) -> bool {
        self.line.is_some()
    }

    /// `WATCHDOG_USEC`: how long the supervisor waits for a sign of life before it kills us.
    pub fn watchdog(&self) -> Option<Duration> {
        self.line.as_ref().and_then(|line| line.watchdog)
    }

    /// Start-up is finished: clients are served.
    pub fn ready(&self) {
        self.send(&[NotifyState::Ready]);
    }

    /// One line for `systemctl status`. A text equal to the last one is not sent again.
    pub fn status(&self, text: &str) {
        let Some(line) = &self.line else { return };
        let text = one_line(text);
        {
            let mut last = line.last_status.lock().unwrap_or_else(PoisonError::into_inner);
            if *last == text {
                return;
            }
            last.clone_from(&text);
        }
        self.send(&[NotifyState::Status(&text)]);
    }

    /// The configuration is being read again. Follow it with [`Notifier::reloaded`], also after a failure.
    pub fn reloading(&self) {
        // `Type=notify-reload` (systemd 253 and newer) demands the time; older versions ignore it.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(_) => self.send(&[NotifyState::Reloading]),
        }
    }

    /// The reload is over, well or not.
    pub fn reloaded(&self) {
        self.ready();
    }

    /// The process is on its way out.
    pub fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// Has the supervisor keep these sockets, and none of before: it hands them to the next process after a
    /// restart, so that clients wait for that one instead of being refused (`FileDescriptorStoreMax=`).
    pub fn keep(&self, sockets: &[BorrowedFd<'_>]) {
        if !self.is_connected() {
            return;
        }
        self.send(&[NotifyState::FdStoreRemove, NotifyState::FdName(KEPT)]);
        if !sockets.is_empty() {
            self.send_with(&[NotifyState::FdStore, NotifyState::FdName(KEPT)], sockets);
        }
    }

    /// Ends when the supervisor has done what it was told so far (`BARRIER=1`), or after a while.
    pub fn settle(&self) {
        let Some(line) = &self.line else { return };
        let Ok((mut near, far)) = UnixStream::pair() else { return };
        if line.send(b"BARRIER=1", &[far.as_fd()]).is_ok()
            && near.set_read_timeout(Some(SETTLE_DEADLINE)).is_ok()
        {
            // The supervisor closes its copy when it comes to it.
            drop(far);
            let _ = near.read(&mut [0]);
        }
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        self.send_with(states, &[]);
    }

    fn send_with(&self, states: &[NotifyState<'_>], sockets: &[BorrowedFd<'_>]) {
        let Some(line) = &self.line else { return };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = line.send(message.as_bytes(), sockets) {
            tracing::debug!(%error, "could not notify the supervisor");
        }
    }
}

impl Line {
    fn open(address: &[u8], watchdog: Option<Duration>) -> std::io::Result<Line> {
        let supervisor = match address.strip_prefix(b"@") {
            Some(name) => UnixAddr::new_abstract(name)?,
            None => UnixAddr::new(std::ffi::OsStr::from_bytes(address))?,
        };
        // Not connected: a supervisor that re-executes itself gets the next message all the same.
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_DEADLINE))?;
        Ok(Line { socket, supervisor, watchdog, last_status: Mutex::default() })
    }

    /// Within the deadline, sockets or not.
    fn send(&self, message: &[u8], sockets: &[BorrowedFd<'_>]) -> nix::Result<usize> {
        let sockets: Vec<_> = sockets.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&sockets)];
        let control = if sockets.is_empty() { &[] } else { &rights[..] };
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg(self.socket.as_raw_fd(), &[IoSlice::new(message)], control, flags, Some(&self.supervisor))
    }
}

/// A newline would start another assignment of the protocol.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(STATUS_LIMIT).collect()
}

/// Feeds the watchdog at half its period for as long as `stuck` names nothing, until `cancel`; looks oftener while it
/// does, for after a stall of the whole machine all loops are late until they had their turn. `None` when the supervisor
/// has no watchdog for us.
pub fn spawn_watchdog(
    notifier: Notifier,
    stuck: impl Fn() -> Option<String> + Send + 'static,
    cancel: CancellationToken,
) -> Option<tokio::task::JoinHandle<()>> {
    let half = notifier.watchdog().filter(|period| !period.is_zero())? / 2;
    Some(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(half);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = stuck();
            match &now {
                None => notifier.send(&[NotifyState::Watchdog]),
                Some(name) => {
                    if told != now {
                        tracing::error!(LOOP = name, "not feeding the watchdog: {name} is stuck");
                    }
                    ticks.reset_after(half.min(beat::PERIOD));
                }
            }
            told = now;
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::beat::{Beat, Beats};
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A supervisor's end of the socket.
    struct Supervisor {
        socket: UnixDatagram,
        notifier: Notifier,
        _dir: tempfile::TempDir,
    }

    fn supervisor(watchdog: Option<Duration>) -> Supervisor {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let notifier = Notifier::to(path.as_os_str().as_bytes(), watchdog);
        Supervisor { socket, notifier, _dir: dir }
    }

    impl Supervisor {
        fn received(&self) -> Vec<String> {
            let mut buffer = [0; 2048];
            std::iter::from_fn(|| self.socket.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec()))
                .map(|bytes| String::from_utf8(bytes).unwrap())
                .collect()
        }
    }

    #[test]
    fn life_of_a_daemon() {
        let s = supervisor(None);
        s.notifier.ready();
        s.notifier.clone().stopping();
        assert_eq!(s.received(), ["READY=1\n", "STOPPING=1\n"]);
    }

    #[test]
    fn the_same_status_is_sent_once_and_stays_one_assignment() {
        let s = supervisor(None);
        s.notifier.status("3 nodes");
        s.notifier.status("3 nodes");
        s.notifier.clone().status("3 nodes");
        s.notifier.status("2 nodes\nREADY=1");
        assert_eq!(s.received(), ["STATUS=3 nodes\n", "STATUS=2 nodes READY=1\n"]);
    }

    #[test]
    fn a_reload_carries_its_time_and_ends_with_ready() {
        let s = supervisor(None);
        s.notifier.reloading();
        s.notifier.reloaded();
        let received = s.received();
        let usec = received[0].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(usec.trim_end().parse::<u64>().unwrap() > 0);
        assert_eq!(received[1..], ["READY=1\n"]);
    }

    #[test]
    fn abstract_sockets_are_reached() {
        let name = format!("swarmd-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::to(format!("@{name}").as_bytes(), None).ready();
        let mut buffer = [0; 64];
        let n = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"READY=1\n");
    }

    #[test]
    fn a_supervisor_that_does_not_read_is_not_waited_for() {
        let s = supervisor(None);
        let socket = UnixDatagram::unbound().unwrap();
        s.notifier.keep(&[socket.as_fd()]);
        assert_eq!(s.received(), ["FDSTOREREMOVE=1\nFDNAME=kept\n", "FDSTORE=1\nFDNAME=kept\n"]);
        // Until its queue is full.
        let line = s.notifier.line.as_ref().unwrap();
        while line.send(b"x", &[]).is_ok() {}
        s.notifier.keep(&[socket.as_fd()]);
        assert!(s.received().iter().all(|message| message == "x"));
    }

    #[test]
    fn without_a_supervisor_nothing_happens() {
        let none = Notifier::default();
        none.ready();
        none.status("x");
        assert!(!none.is_connected());
        assert!(spawn_watchdog(none, || None, CancellationToken::new()).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_while_alive_and_only_then() {
        let s = supervisor(Some(Duration::from_secs(30)));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let cancel = CancellationToken::new();
        // Alive for the first three questions, stuck from then on.
        let stuck = move || (count.fetch_add(1, Ordering::SeqCst) >= 3).then(|| "a loop".to_string());
        let task = spawn_watchdog(s.notifier.clone(), stuck, cancel.clone()).unwrap();
        while asked.load(Ordering::SeqCst) < 6 {
            tokio::time::sleep(Duration::from_secs(15)).await;
        }
        assert_eq!(s.received(), ["WATCHDOG=1\n"; 3]);
        cancel.cancel();
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_loop_that_hangs_starves_the_watchdog_and_one_that_was_late_does_not() {
        let (s, beats, cancel) =
            (supervisor(Some(Duration::from_secs(30))), Beats::default(), CancellationToken::new());
        let (well, hangs) = (beats.join("a loop that is well"), beats.join("another"));
        spawn_watchdog(s.notifier.clone(), move || beats.stuck(), cancel.clone()).unwrap();
        let pass = async |seconds, turns: &[&Beat]| {
            for _ in 0..seconds {
                turns.iter().for_each(|beat| beat.beat());
                tokio::time::sleep(beat::PERIOD).await;
            }
            s.received().len()
        };
        assert_eq!(pass(50, &[&well, &hangs]).await, 4);
        assert_eq!(pass(60, &[&well]).await, 0);
        assert_eq!(pass(5, &[&well, &hangs]).await, 1, "at once: half a period later may be too late");
        assert_eq!(pass(60, &[&well, &hangs]).await, 4);
        drop(hangs);
        assert_eq!(pass(60, &[&well]).await, 4);
        cancel.cancel();
    }
}
