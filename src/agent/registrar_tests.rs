//! Tests of one registrar: what it does with a registry that fails, comes back, hangs; what it says meanwhile.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::time::{Instant, sleep};

use super::*;
use crate::discovery::entry;
use crate::systemd::beat::Beats;

/// Answers registrations by script, then with success; notes what it was asked, and when.
struct Script {
    answers: Mutex<VecDeque<Result<()>>>,
    calls: Mutex<Vec<(Duration, String)>>,
    start: Instant,
    withdraw_hangs: bool,
    /// After how long each registration is lost; then none is.
    losses: Mutex<VecDeque<Duration>>,
}

impl Script {
    fn new(answers: Vec<Result<()>>) -> Script {
        Script {
            answers: Mutex::new(answers.into()),
            calls: Mutex::default(),
            start: Instant::now(),
            withdraw_hangs: false,
            losses: Mutex::default(),
        }
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push((self.start.elapsed(), call));
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(_, call)| call.clone()).collect()
    }

    fn pauses(&self) -> Vec<Duration> {
        let calls = self.calls.lock().unwrap();
        calls.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }
}

impl Registrar for Script {
    async fn register(&self, own: &Own, ttl: Duration) -> Result<(Entry, News)> {
        let entry = match own {
            Own::Fixed(entry) => entry.clone(),
            // As DHCP would have it: another address each time.
            Own::Auto { port, .. } => entry::parse(&format!("10.0.0.{}:{port}", self.calls().len())).unwrap(),
        };
        self.note(format!("register {entry} {}", ttl.as_secs()));
        let answer = self.answers.lock().unwrap().pop_front();
        answer.unwrap_or(Ok(()))?;
        let lost = self.losses.lock().unwrap().pop_front();
        let news: News = match lost {
            Some(after) => Box::pin(async move {
                sleep(after).await;
                Ok(())
            }),
            None => news::none(),
        };
        Ok((entry, news))
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        self.note(format!("withdraw {entry}"));
        match self.withdraw_hangs {
            true => std::future::pending().await,
            false => Ok(()),
        }
    }
}

const HEARTBEAT: Duration = Duration::from_secs(60);

fn plan() -> Plan {
    Plan {
        heartbeat: HEARTBEAT,
        ttl: Duration::from_secs(180),
        own: Own::parse("10.0.0.1:2375").unwrap(),
        front: None,
    }
}

/// Runs the loop for `time`, stops it, and gives what it told. `kick` is given half-way.
async fn run_for(script: &Script, plan: &Plan, time: Duration) -> Vec<Standing> {
    run_kicked(script, plan, time, &Notify::new()).await
}

async fn run_kicked(script: &Script, plan: &Plan, time: Duration, kick: &Notify) -> Vec<Standing> {
    let (tell, mut told) = watch::channel(Standing::default());
    let all = Mutex::new(Vec::new());
    let (beats, cancel) = (Beats::default(), CancellationToken::new());
    let beat = beats.join("the registration");
    let listen = async {
        while told.changed().await.is_ok() {
            all.lock().unwrap().push(told.borrow_and_update().clone());
        }
    };
    let stop = async {
        sleep(time).await;
        cancel.cancel();
    };
    let serving = async {
        tokio::join!(serve(script, plan, kick, &beat, &cancel, &tell), stop);
    };
    tokio::select! {
        () = serving => {}
        () = listen => {}
        () = never_stuck(&beats) => {}
    }
    all.into_inner().unwrap()
}

/// Neither pauses nor failures nor a registry that hangs look like a loop that does. Never ends.
async fn never_stuck(beats: &Beats) {
    loop {
        assert_eq!(beats.stuck(), None);
        sleep(Duration::from_secs(1)).await;
    }
}

fn down() -> Result<()> {
    Err(Error::store(Kind::Connect, "nobody there"))
}

#[tokio::test(start_paused = true)]
async fn registers_at_once_at_each_heartbeat_and_withdraws_on_stop() {
    let script = Script::new(vec![]);
    let reports = run_for(&script, &plan(), HEARTBEAT * 2).await;
    let beat = "register 10.0.0.1:2375 180";
    assert_eq!(script.calls(), [beat, beat, beat, "withdraw 10.0.0.1:2375"]);
    for pause in &script.pauses()[..2] {
        assert!(*pause <= HEARTBEAT + Duration::from_millis(2) && *pause >= HEARTBEAT.mul_f64(0.89));
    }
    assert_eq!((reports[0].attempts, reports[2].attempts), (1, 3));
    assert_eq!(reports[0].entry, Some(entry::parse("10.0.0.1:2375").unwrap()));
    assert_eq!(reports[0].since, reports[2].since);
}

#[tokio::test(start_paused = true)]
async fn failures_are_reported_and_retried_within_seconds() {
    let script = Script::new(vec![down(); 8]);
    let reports = run_for(&script, &plan(), Duration::from_secs(200)).await;
    assert_eq!(reports[0].attempts, 1);
    assert_eq!(reports[0].error, down().err());
    assert!(reports[7].error.is_some());
    assert_eq!(reports[8].error, None);
    let pauses = script.pauses();
    assert!(pauses[0] <= Duration::from_secs(1), "{pauses:?}");
    let longest = pauses[..8].iter().max().unwrap();
    assert!(*longest <= LONGEST_RETRY + Duration::from_millis(2), "{pauses:?}");
    assert!(pauses[8] > LONGEST_RETRY * 2, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn retries_are_never_rarer_than_a_short_heartbeat() {
    let script = Script::new(vec![down(); 20]);
    let plan = Plan { heartbeat: Duration::from_secs(2), ..plan() };
    run_for(&script, &plan, Duration::from_secs(30)).await;
    let longest = script.pauses().into_iter().max().unwrap();
    assert!(longest <= plan.heartbeat + Duration::from_millis(2), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kick_ends_the_pause() {
    let script = Script::new(vec![down(); 6]);
    let (kick, plan) = (Notify::new(), plan());
    let kicking = async {
        sleep(Duration::from_secs(90)).await;
        kick.notify_one();
        sleep(Duration::from_secs(1000)).await;
    };
    tokio::select! {
        _ = run_kicked(&script, &plan, Duration::from_secs(91), &kick) => {}
        () = kicking => panic!("the loop ended late"),
    }
    let calls = script.calls.lock().unwrap();
    assert!(calls.iter().any(|(at, _)| at.as_secs() == 90), "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_changes_replaces_the_old_one() {
    let script = Script::new(vec![]);
    let plan = Plan { own: Own::parse("auto:2375").unwrap(), ..plan() };
    run_for(&script, &plan, HEARTBEAT + Duration::from_secs(1)).await;
    assert_eq!(
        script.calls(),
        [
            "register 10.0.0.0:2375 180",
            "register 10.0.0.1:2375 180",
            "withdraw 10.0.0.0:2375",
            "withdraw 10.0.0.1:2375"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_hangs_does_not_hold_up_the_stop() {
    let mut script = Script::new(vec![]);
    script.withdraw_hangs = true;
    run_for(&script, &plan(), Duration::from_secs(1)).await;
    assert!(script.start.elapsed() <= Duration::from_secs(1) + WITHDRAW_DEADLINE + Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_is_lost_is_made_again_at_once() {
    let script = Script::new(vec![]);
    script.losses.lock().unwrap().push_back(Duration::from_secs(7));
    run_for(&script, &plan(), HEARTBEAT / 2).await;
    assert_eq!(script.calls().len(), 3);
    assert!(script.pauses()[0] < Duration::from_secs(8), "{:?}", script.pauses());
}
