//! Tests of the reading loop, on paused time, with a list that answers by script.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::time::sleep;

use super::*;
use crate::systemd::beat::Beats;

/// Answers by script, then repeats the last answer; notes when it was asked.
struct Script {
    answers: Mutex<VecDeque<Result<Vec<Entry>>>>,
    asked: Arc<Mutex<Vec<Duration>>>,
    started: Instant,
    cadence: Cadence,
    pulse: Option<Receiver<u64>>,
}

type Asked = Arc<Mutex<Vec<Duration>>>;

fn script(answers: Vec<Result<Vec<Entry>>>) -> (Script, Asked) {
    let asked = Asked::default();
    let script = Script {
        answers: Mutex::new(answers.into()),
        asked: asked.clone(),
        started: Instant::now(),
        cadence: Cadence::Heartbeat,
        pulse: None,
    };
    (script, asked)
}

impl Script {
    fn next(&self) -> Option<Result<Vec<Entry>>> {
        let mut answers = self.answers.lock().unwrap();
        match answers.len() {
            0 | 1 => answers.front().cloned(),
            _ => answers.pop_front(),
        }
    }
}

impl Source for Script {
    async fn read(&self) -> Result<Reading> {
        self.asked.lock().unwrap().push(self.started.elapsed());
        let Some(answer) = self.next() else { return std::future::pending().await };
        let news = match self.pulse.clone() {
            None => news::none(),
            Some(pulse) => after(pulse),
        };
        Ok(Reading { news, ..Reading::of(answer?) })
    }

    fn cadence(&self) -> Cadence {
        self.cadence
    }
}

/// Word of the next beat.
fn after(mut pulse: Receiver<u64>) -> News {
    pulse.mark_unchanged();
    Box::pin(async move {
        let beat = pulse.changed().await;
        beat.map_err(|_| Error::store(Kind::Broken, "no more news"))
    })
}

fn entries(hosts: &[&str]) -> Vec<Entry> {
    let entry = |host: &&str| crate::discovery::entry::parse(&format!("{host}:1")).unwrap();
    hosts.iter().map(entry).collect()
}

fn broken(message: &str) -> Result<Vec<Entry>> {
    Err(Error::store(Kind::Connect, message))
}

const HEARTBEAT: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn delivers_at_once_then_only_changes_count() {
    let (source, asked) = script(vec![Ok(entries(&["a"])), Ok(entries(&["a"])), Ok(entries(&["a", "b"]))]);
    let mut state = watch(source, HEARTBEAT, Beats::default().join("the list"), CancellationToken::new());
    assert!(state.borrow().entries.is_none());
    state.changed().await.unwrap();
    assert_eq!(state.borrow().entries.as_deref(), Some(&entries(&["a"])[..]));
    assert_eq!(asked.lock().unwrap()[0], Duration::ZERO);
    state.changed().await.unwrap();
    assert_eq!(state.borrow_and_update().deliveries, 1);
    state.changed().await.unwrap();
    assert_eq!(state.borrow().deliveries, 2);
    assert_eq!(state.borrow().entries.as_deref(), Some(&entries(&["a", "b"])[..]));
    let asked = asked.lock().unwrap();
    let pause = asked[1] - asked[0];
    assert!(pause <= HEARTBEAT && pause >= HEARTBEAT.mul_f64(0.89), "{pause:?}");
}

#[tokio::test(start_paused = true)]
async fn errors_keep_the_list_and_are_retried_with_growing_pauses() {
    let mut answers = vec![Ok(entries(&["a"]))];
    answers.extend((0..9).map(|_| broken("down")));
    answers.push(Ok(entries(&["b"])));
    let (source, asked) = script(answers);
    let mut state = watch(source, HEARTBEAT, Beats::default().join("the list"), CancellationToken::new());
    let failed = state.wait_for(|s| s.last_error.is_some()).await.unwrap().clone();
    assert_eq!(failed.entries.as_deref(), Some(&entries(&["a"])[..]));
    assert!(failed.last_ok < failed.last_try);
    let healed = state.wait_for(|s| s.deliveries == 2).await.unwrap().clone();
    assert_eq!(healed.last_error, None);
    assert_eq!(healed.last_ok, healed.last_try);
    let asked = asked.lock().unwrap();
    let pauses: Vec<Duration> = asked[1..].windows(2).map(|w| w[1] - w[0]).collect();
    assert!(pauses[0] <= Duration::from_secs(1), "{pauses:?}");
    assert!(pauses.iter().all(|p| *p <= HEARTBEAT + Duration::from_millis(2)), "{pauses:?}");
    assert!(pauses[8] >= LONGEST_RETRY / 2 && pauses[8] <= LONGEST_RETRY * 2, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_hangs_is_an_error() {
    let (source, _) = script(vec![]);
    let mut state = watch(source, HEARTBEAT, Beats::default().join("the list"), CancellationToken::new());
    state.changed().await.unwrap();
    assert_eq!(state.borrow().last_error.as_ref().unwrap().kind, Kind::Timeout);
    assert!(state.borrow().entries.is_none());
}

#[tokio::test(start_paused = true)]
async fn fixed_lists_are_read_until_they_succeed_and_never_again() {
    let (mut source, asked) = script(vec![broken("typo"), Ok(entries(&["a"]))]);
    source.cadence = Cadence::Once;
    let mut state = watch(source, HEARTBEAT, Beats::default().join("the list"), CancellationToken::new());
    state.wait_for(|s| s.deliveries == 1).await.unwrap();
    sleep(HEARTBEAT * 100).await;
    assert_eq!(asked.lock().unwrap().len(), 2);
    assert!(state.has_changed().is_ok());
}

#[tokio::test(start_paused = true)]
async fn news_are_looked_at_at_once() {
    let (mut source, asked) = script(vec![Ok(entries(&["a"])), Ok(entries(&["b"]))]);
    let (pulse, receiver) = watch::channel(0);
    source.pulse = Some(receiver);
    let mut state = watch(source, HEARTBEAT, Beats::default().join("the list"), CancellationToken::new());
    state.wait_for(|s| s.deliveries == 1).await.unwrap();
    pulse.send(1).unwrap();
    state.wait_for(|s| s.deliveries == 2).await.unwrap();
    assert!(asked.lock().unwrap()[1] < Duration::from_secs(1));
    drop(pulse);
    tokio::time::sleep(HEARTBEAT * 2).await;
    // Broken news are no reason to ask all the time.
    assert!(asked.lock().unwrap().len() < 20);
}

#[tokio::test(start_paused = true)]
async fn stops_when_cancelled_or_when_nobody_listens() {
    let cancel = CancellationToken::new();
    let (source, asked) = script(vec![Ok(entries(&["a"]))]);
    let mut state = watch(source, HEARTBEAT, Beats::default().join("the list"), cancel.clone());
    state.changed().await.unwrap();
    cancel.cancel();
    assert!(state.changed().await.is_err());
    assert_eq!(asked.lock().unwrap().len(), 1);

    let (source, asked) = script(vec![Ok(entries(&["a"]))]);
    drop(watch(source, HEARTBEAT, Beats::default().join("the list"), CancellationToken::new()));
    sleep(HEARTBEAT * 10).await;
    assert!(asked.lock().unwrap().len() <= 1);
}

#[tokio::test(start_paused = true)]
async fn neither_rests_nor_failures_look_stuck() {
    for answers in [vec![Ok(entries(&["a"]))], vec![broken("down")], vec![]] {
        let (beats, (source, _)) = (Beats::default(), script(answers));
        let state = watch(source, HEARTBEAT * 60, beats.join("the list"), CancellationToken::new());
        for _ in 0..4000 {
            sleep(Duration::from_secs(2)).await;
            assert_eq!(beats.stuck(), None);
        }
        drop(state);
    }
}
