//! The loop over a store that is kept in memory, on tokio's own time.

use std::sync::{Arc, Mutex, OnceLock};

use tokio::time::Instant;

use super::*;
use crate::systemd::beat::{Beats, PATIENCE};

const TTL: Duration = Duration::from_secs(12);

/// The lease, and whether the store can be reached.
#[derive(Default)]
struct Memory {
    holder: Option<(String, Instant)>,
    term: u64,
    down: bool,
    /// It does not tell of changes.
    deaf: bool,
    /// It takes questions, and does not answer them.
    mute: bool,
    renewals: u32,
}

#[derive(Clone)]
struct Store(Arc<Mutex<Memory>>, watch::Sender<u64>);

impl Store {
    fn new() -> Store {
        Store(Arc::default(), watch::channel(0).0)
    }

    fn change(&self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.0.lock().unwrap());
        self.1.send_modify(|n| *n += 1);
    }

    /// One that takes part, and where it says so. Polled by nobody yet.
    fn part(&self, name: &str, beats: &Beats) -> (impl Future<Output = ()> + use<>, Watched) {
        let lock = Fake { store: self.clone(), me: name.to_string(), news: self.1.subscribe() };
        let (sender, leadership) = watch::channel(Leadership::NONE);
        let cancel = CancellationToken::new();
        let machine = Machine::new(name.to_string(), TTL);
        let part = run(lock, machine, test_clock, sender, beats.join("the election"), cancel.clone());
        (part, (leadership, cancel))
    }

    fn candidate(&self, name: &str) -> Candidate {
        let beats = Beats::default();
        let (part, (leadership, cancel)) = self.part(name, &beats);
        Candidate { leadership, cancel, task: tokio::spawn(part), beats }
    }
}

type Watched = (watch::Receiver<Leadership>, CancellationToken);

struct Candidate {
    leadership: watch::Receiver<Leadership>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    beats: Beats,
}

impl Candidate {
    /// Waits for a role; returns how long it took.
    async fn becomes(&mut self, role: Role) -> Duration {
        let begun = Instant::now();
        let seen = timeout(TTL * 10, self.leadership.wait_for(|l| l.role == role)).await;
        assert!(seen.is_ok_and(|seen| seen.is_ok()), "never {role:?}");
        begun.elapsed()
    }

    async fn never_looks_stuck(&self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            sleep(Duration::from_secs(1)).await;
            assert_eq!(self.beats.stuck(), None);
        }
    }

    fn acts(&self) -> bool {
        self.leadership.borrow().may_act(test_clock())
    }
}

/// Time since the first question: tokio's, which tests let fly.
fn test_clock() -> Moment {
    thread_local!(static BEGUN: OnceLock<Instant> = const { OnceLock::new() });
    BEGUN.with(|begun| begun.get_or_init(Instant::now).elapsed())
}

struct Fake {
    store: Store,
    me: String,
    news: watch::Receiver<u64>,
}

impl Fake {
    fn memory(&self) -> Result<std::sync::MutexGuard<'_, Memory>> {
        let mut memory = self.store.0.lock().unwrap();
        if memory.holder.as_ref().is_some_and(|(_, ends)| *ends <= Instant::now()) {
            memory.holder = None;
        }
        match memory.down {
            true => Err(Error::store(Kind::Connect, "the store is down")),
            false => Ok(memory),
        }
    }

    /// Never ends while the store is mute.
    async fn answers(&self) {
        let mute = self.store.0.lock().unwrap().mute;
        if mute {
            std::future::pending::<()>().await;
        }
    }
}

impl Lock for Fake {
    async fn acquire(&mut self, take: bool) -> Result<Attempt> {
        self.answers().await;
        self.news.mark_unchanged();
        let mut memory = self.memory()?;
        if memory.holder.is_none() && take {
            memory.holder = Some((self.me.clone(), Instant::now() + TTL));
            memory.term += 1;
            return Ok(Attempt::Won { term: memory.term, ttl: TTL });
        }
        Ok(Attempt::Lost { leader: memory.holder.as_ref().map(|(name, _)| name.clone()) })
    }

    async fn renew(&mut self) -> Result<bool> {
        self.answers().await;
        let mut memory = self.memory()?;
        memory.renewals += 1;
        match &mut memory.holder {
            Some((name, ends)) if *name == self.me => *ends = Instant::now() + TTL,
            _ => return Ok(false),
        }
        Ok(true)
    }

    async fn release(&mut self) -> Result<()> {
        self.answers().await;
        if self.memory()?.holder.as_ref().is_some_and(|(name, _)| *name == self.me) {
            self.store.change(|memory| memory.holder = None);
        }
        Ok(())
    }

    fn lease(&self) -> Duration {
        TTL
    }

    async fn changed(&mut self) -> Result<()> {
        if self.memory()?.deaf {
            return Err(Error::store(Kind::Broken, "no watches here"));
        }
        let _ = self.news.changed().await;
        self.memory().map(drop)
    }
}

#[tokio::test(start_paused = true)]
async fn one_leads_the_other_follows_and_takes_over_when_it_resigns() {
    let store = Store::new();
    let mut a = store.candidate("a:1");
    a.becomes(Role::Primary).await;
    let mut b = store.candidate("b:1");
    b.becomes(Role::Replica).await;
    assert_eq!(b.leadership.borrow().primary.as_deref(), Some("a:1"));
    sleep(TTL * 5).await;
    assert!(a.acts() && !b.acts());
    a.cancel.cancel();
    assert!(b.becomes(Role::Primary).await < Duration::from_millis(200));
    assert_eq!(b.leadership.borrow().term, 2);
    (&mut a.task).await.unwrap();
    assert!(!a.acts() && b.acts());
}

#[tokio::test(start_paused = true)]
async fn who_dies_is_followed_within_a_ttl_and_a_bit() {
    let store = Store::new();
    let mut a = store.candidate("a:1");
    a.becomes(Role::Primary).await;
    let mut b = store.candidate("b:1");
    b.becomes(Role::Replica).await;
    a.task.abort();
    assert!(b.becomes(Role::Primary).await <= TTL + TTL / 3);
    assert!(!a.acts(), "its last word is out of date");
}

#[tokio::test(start_paused = true)]
async fn without_a_store_nobody_leads_and_what_it_forgot_counts() {
    let store = Store::new();
    let mut a = store.candidate("a:1");
    a.becomes(Role::Primary).await;
    let mut b = store.candidate("b:1");
    b.becomes(Role::Replica).await;
    store.change(|memory| memory.down = true);
    sleep(TTL / 4).await;
    assert!(a.acts(), "a lease outlives its store");
    assert_eq!(b.leadership.borrow().primary.as_deref(), Some("a:1"));
    // It comes back empty while `a` still acts by its lease.
    store.change(|memory| *memory = Memory { term: 9, ..Memory::default() });
    for _ in 0..100 {
        sleep(TTL / 10).await;
        assert!(!(a.acts() && b.acts()), "two at once");
    }
    assert!(a.acts() || b.acts());
    store.change(|memory| memory.down = true);
    sleep(TTL).await;
    assert!(!a.acts() && !b.acts());
    store.change(|memory| memory.down = false);
    sleep(TTL * 3).await;
    assert!(a.acts() ^ b.acts());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_away_is_missed_at_once() {
    let store = Store::new();
    let mut a = store.candidate("a:1");
    a.becomes(Role::Primary).await;
    let far = Instant::now() + TTL * 100;
    store.change(|memory| memory.holder = Some(("x:1".into(), far)));
    assert!(a.becomes(Role::Replica).await < Duration::from_millis(200));
    assert_eq!(a.leadership.borrow().primary.as_deref(), Some("x:1"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_tells_of_changes_has_a_primary_all_the_same() {
    let store = Store::new();
    let far = Instant::now() + TTL * 2;
    store.change(|memory| {
        *memory = Memory { deaf: true, holder: Some(("x:1".into(), far)), ..Memory::default() }
    });
    let mut a = store.candidate("a:1");
    a.becomes(Role::Primary).await;
    let before = store.0.lock().unwrap().renewals;
    sleep(TTL * 5).await;
    assert!(a.acts());
    let renewals = store.0.lock().unwrap().renewals - before;
    assert!((10..=70).contains(&renewals), "neither rarely nor in a tight loop: {renewals}");
}

#[tokio::test(start_paused = true)]
async fn whatever_the_store_does_the_loop_turns() {
    let store = Store::new();
    let mut a = store.candidate("a:1");
    a.becomes(Role::Primary).await;
    let mut b = store.candidate("b:1");
    b.becomes(Role::Replica).await;
    for state in [
        Memory::default(),
        Memory { deaf: true, ..Memory::default() },
        Memory { down: true, ..Memory::default() },
        Memory { mute: true, ..Memory::default() },
        Memory { mute: true, deaf: true, ..Memory::default() },
        Memory::default(),
    ] {
        store.change(|memory| *memory = state);
        a.never_looks_stuck(TTL * 20).await;
        b.never_looks_stuck(TTL * 20).await;
    }
    assert!(a.acts() ^ b.acts());
}

#[tokio::test(start_paused = true)]
async fn a_loop_in_a_call_that_does_not_even_yield_is_stuck() {
    let (store, beats) = (Store::new(), Beats::default());
    let (part, (leadership, _)) = store.part("a:1", &beats);
    let mut part = Box::pin(part);
    // A thread that hangs in the call does with the loop what this does from here on: nothing.
    assert!(futures_util::poll!(&mut part).is_pending());
    assert_eq!(leadership.borrow().role, Role::Primary);
    sleep(PATIENCE).await;
    assert_eq!(beats.stuck(), None, "it may take its time");
    sleep(CALL_DEADLINE * 4 + TTL).await;
    assert_eq!(beats.stuck().as_deref(), Some("the election"));
    drop(part);
    assert_eq!(beats.stuck(), None);
}
