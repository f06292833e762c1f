//! The machine against a store that keeps one lease, with messages that take their time, clocks that differ,
//! and processes that stop.

use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(12);

fn seconds(s: u64) -> Moment {
    Duration::from_secs(s)
}

fn primary() -> Machine {
    let mut machine = Machine::new("a:1".into(), TTL);
    machine.won(seconds(100), 7, TTL);
    machine
}

#[test]
fn a_lease_counts_from_the_question_and_ends_early() {
    let mut machine = primary();
    assert_eq!(machine.leadership().primary.as_deref(), Some("a:1"));
    assert_eq!(machine.renew_at(), seconds(104));
    assert!(machine.leadership().may_act(seconds(108)) && !machine.leadership().may_act(seconds(109)));
    machine.renewed(seconds(104));
    assert!(machine.leadership().may_act(seconds(112)));
    // An answer that comes late, to an earlier question, takes nothing away.
    machine.renewed(seconds(103));
    assert!(machine.leads(seconds(112)));
    assert!(!machine.leads(seconds(113)));
    assert_eq!(machine.leadership(), &Leadership::NONE);
    machine.renewed(seconds(113));
    assert!(!machine.leads(seconds(113)), "what is over is not renewed");
}

#[test]
fn a_process_that_was_stopped_knows_it_at_its_first_look() {
    let machine = primary();
    let seen = machine.leadership().clone();
    assert!(!seen.may_act(seconds(3600)));
    assert_eq!(seen.at(seconds(3600)), Leadership::NONE);
    // A victory that was announced while we were stopped is none.
    let mut machine = Machine::new("a:1".into(), TTL);
    machine.won(seconds(100), 7, TTL);
    assert!(!machine.leads(seconds(3600)));
}

#[test]
fn the_name_of_another_is_kept_while_the_store_is_away() {
    let mut machine = Machine::new("a:1".into(), TTL);
    machine.learned(Some("b:1".into()));
    machine.failed(seconds(10), Duration::ZERO);
    assert_eq!(machine.leadership().primary.as_deref(), Some("b:1"));
    machine.learned(Some("a:1".into()));
    assert_eq!(machine.leadership(), &Leadership::NONE, "an earlier life of ours");
}

#[test]
fn what_a_store_may_have_forgotten_is_left_alone() {
    let mut machine = Machine::new("a:1".into(), TTL);
    machine.failed(seconds(1), Duration::ZERO);
    machine.learned(None);
    assert!(!machine.may_take(seconds(12)), "another may lead since before we began");
    assert!(machine.may_take(seconds(13)));
    machine.failed(seconds(10), Duration::ZERO);
    machine.learned(None);
    assert!(!machine.may_take(seconds(21)) && machine.may_take(seconds(22)));
    machine.failed(seconds(30), Duration::ZERO);
    machine.learned(Some("b:1".into()));
    machine.learned(None);
    assert!(machine.may_take(seconds(31)), "it remembers");
    let mut machine = primary();
    machine.failed(seconds(104), Duration::ZERO);
    machine.lost();
    assert!(!machine.may_take(seconds(115)) && machine.may_take(seconds(116)));
}

#[test]
fn who_waits_waits_for_as_long_as_the_store_grants() {
    let mut machine = Machine::new("a:1".into(), TTL);
    machine.failed(seconds(10), seconds(20));
    assert!(!machine.may_take(seconds(29)) && machine.may_take(seconds(30)));
}

#[test]
fn a_store_that_never_tells_of_changes_is_waited_for_once() {
    let mut machine = Machine::new("a:1".into(), TTL);
    machine.unsure(seconds(10), Duration::ZERO);
    for now in 11..22 {
        machine.learned(None);
        machine.unsure(seconds(now), Duration::ZERO);
        assert!(!machine.may_take(seconds(now)));
    }
    machine.unsure(seconds(22), Duration::ZERO);
    assert!(machine.may_take(seconds(22)));
    machine.learned(Some("b:1".into()));
    machine.unsure(seconds(23), Duration::ZERO);
    assert!(!machine.may_take(seconds(34)), "another was seen since");
}

/// The one lease, on the store's clock, which is the true one.
#[derive(Default)]
struct Store {
    holder: Option<usize>,
    ends: Duration,
    term: u64,
}

impl Store {
    fn hears(&mut self, from: usize, now: Duration) -> Option<u64> {
        let free = self.holder.is_none() || now >= self.ends;
        if free {
            self.holder = Some(from);
            self.term += 1;
        }
        (self.holder == Some(from)).then(|| {
            self.ends = now + TTL;
            self.term
        })
    }
}

/// A question under way.
struct Call {
    asked: Moment,
    arrives: Duration,
    returns: Duration,
    answer: Option<Option<u64>>,
}

/// A manager whose clock runs at `rate` of the true one.
struct Manager {
    machine: Machine,
    rate: f64,
    call: Option<Call>,
    stopped_until: Duration,
}

impl Manager {
    fn clock(&self, now: Duration) -> Moment {
        now.mul_f64(self.rate) + seconds(1000)
    }

    /// What the manager does in its own time, if it is not stopped.
    fn live(&mut self, now: Duration, delays: (u64, u64)) {
        if now < self.stopped_until {
            return;
        }
        let mine = self.clock(now);
        if self.call.as_ref().is_some_and(|c| c.returns <= now && c.answer.is_some()) {
            let call = self.call.take().unwrap();
            let leads = self.machine.leads(mine);
            match call.answer.unwrap() {
                Some(_) if leads => self.machine.renewed(call.asked),
                Some(term) => self.machine.won(call.asked, term, TTL),
                None => self.machine.learned(Some("other:1".into())),
            }
        }
        if self.call.is_none() && (!self.machine.leads(mine) || mine >= self.machine.renew_at()) {
            let (there, back) = (Duration::from_millis(delays.0), Duration::from_millis(delays.1));
            self.call =
                Some(Call { asked: mine, arrives: now + there, returns: now + there + back, answer: None });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn never_two_at_once(
        rates in prop::array::uniform3(0.9f64..1.1),
        delays in prop::collection::vec((0u64..9_000, 0u64..9_000, 0u8..40), 60..200),
        stops in prop::collection::vec((0usize..3, 0u64..300_000, 0u64..60_000), 0..8),
    ) {
        let mut store = Store::default();
        let mut managers = rates.map(|rate| Manager {
            machine: Machine::new("a:1".into(), TTL), rate, call: None, stopped_until: Duration::ZERO,
        });
        let (mut delays, mut ever) = (delays.into_iter().cycle(), 0);
        for tick in 0..3_000u64 {
            let now = Duration::from_millis(tick * 100);
            for (who, at, long) in &stops {
                if at / 100 == tick {
                    managers[*who].stopped_until = now + Duration::from_millis(*long);
                }
            }
            for (i, manager) in managers.iter_mut().enumerate() {
                // Most messages are quick, some are very late.
                let (there, back, slow) = delays.next().unwrap();
                manager.live(now, if slow == 0 { (there, back) } else { (there / 90, back / 90) });
                if let Some(call) = manager.call.as_mut().filter(|c| c.answer.is_none() && c.arrives <= now) {
                    call.answer = Some(store.hears(i, now));
                }
            }
            let acting: Vec<usize> = (0..3)
                .filter(|i| managers[*i].machine.leadership().may_act(managers[*i].clock(now)))
                .collect();
            prop_assert!(acting.len() < 2, "{acting:?} at {now:?}");
            ever += acting.len();
        }
        prop_assert!(ever > 0, "nobody ever led");
    }
}
