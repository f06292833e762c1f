//! Who belongs to the cluster, and what it means when a list names somebody no more. Pure: the time is an argument.
//!
//! Blank discovery is not the failure of a node. So:
//!
//! 1. Lists that people write, and the registry of this process, are right as they are: who is not on them is out.
//! 2. A store drops an entry when its agent withdraws it, or when its ttl is over. Both times it is out at once:
//!    the ttl was the grace.
//! 3. It proves nothing when entries are gone because the *store* lost them: it came back empty, which its mark (a
//!    key of ours beside the list) tells; or it could not be read for half a ttl or more, and entries have
//!    run out meanwhile. Whoever is missing then is kept while its engine answers, and out when that does not,
//!    a ttl later; or when the list has been sound again for a whole ttl without it: its agent is gone.
//! 4. A list that lost several entries at one blow is believed a moment later only: somebody may have cleared the
//!    store by hand, and agents write themselves in again at once.
//! 5. Where no mark would tell of a lost memory (registries elsewhere, etcd without API v3), a list that lost several
//!    entries, or all, is believed a ttl later: until then agents would be back. It need not be blank any more
//!    when we look: the quickest agents are back at once.
//!
//! While a list cannot be read nothing changes at all. Nor does a restart of the manager change anything: it goes on
//! with the members that it knew (`memory`), and with what it knew of the store.

use std::collections::HashSet;
use std::time::Duration;

use crate::discovery::Entry;
use crate::discovery::diff::{Diff, diff};

/// What a list says about those whom it does not name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// They are out.
    Final,
    /// Nothing, if the store has lost its memory: then it has another mark than before. `None`: it has no mark.
    Life(Option<String>),
}

/// How long doubts last.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long a registration lives.
    pub ttl: Duration,
    /// How long a list that lost several at one blow is not believed.
    pub moment: Duration,
}

/// The members, and those of them that the list does not name.
#[derive(Debug)]
pub struct Roster {
    terms: Terms,
    held: Vec<Held>,
    proof: Option<Proof>,
    /// Since when the list cannot be read.
    failing: Option<Duration>,
    /// Until when entries may be missing because of an outage.
    unsettled_until: Duration,
    /// Since when the list can be read and names somebody.
    sound_since: Option<Duration>,
}

#[derive(Debug)]
struct Held {
    entry: Entry,
    missing: Option<Missing>,
}

#[derive(Debug, Clone, Copy)]
struct Missing {
    since: Duration,
    doubt: Doubt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// Rule 3.
    StoreLostIt,
    /// Rule 4 or 5, and how long it lasts.
    AtOneBlow(Duration),
}

impl Roster {
    /// Nobody yet.
    pub fn new(terms: Terms) -> Roster {
        Roster {
            terms,
            held: Vec::new(),
            proof: None,
            failing: None,
            unsettled_until: Duration::ZERO,
            sound_since: None,
        }
    }

    /// Begins with what was known before a restart: the members, and what the list said of itself. What the list
    /// says next is weighed as if there had been no restart.
    pub fn recall(&mut self, entries: impl IntoIterator<Item = Entry>, proof: Proof) {
        self.held.extend(entries.into_iter().map(|entry| Held { entry, missing: None }));
        self.proof = Some(proof);
    }

    /// The members, and what the list said of itself when it was last read.
    pub fn memory(&self) -> Option<(Vec<&Entry>, &Proof)> {
        let proof = self.proof.as_ref()?;
        Some((self.held.iter().map(|held| &held.entry).collect(), proof))
    }

    /// How many are members.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many are members although the list does not name them.
    pub fn kept(&self) -> usize {
        self.held.iter().filter(|held| held.missing.is_some()).count()
    }

    /// The list could not be read.
    pub fn failed(&mut self, now: Duration) {
        self.failing.get_or_insert(now);
        self.sound_since = None;
    }

    /// The list was read. Whoever is back after having been missed is among the added ones.
    pub fn delivered(&mut self, list: &[Entry], proof: &Proof, now: Duration) -> Diff {
        if self.failing.take().is_some_and(|since| now.saturating_sub(since) >= self.terms.ttl / 2) {
            self.unsettled_until = now + self.terms.ttl;
        }
        let doubt = self.doubt(list, proof, now);
        let known: Vec<Entry> = self.held.iter().map(|held| held.entry.clone()).collect();
        let mut change = diff(&known, list);
        let gone: HashSet<Entry> = change.removed.drain(..).collect();
        let mut back = Vec::new();
        self.held.retain_mut(|held| match (gone.contains(&held.entry), held.missing, doubt) {
            (false, missing, _) => {
                back.extend(missing.map(|_| held.entry.clone()));
                held.missing = None;
                true
            }
            (true, Some(_), _) if *proof != Proof::Final => true,
            (true, None, Some(doubt)) => {
                held.missing = Some(Missing { since: now, doubt });
                true
            }
            (true, ..) => {
                change.removed.push(held.entry.clone());
                false
            }
        });
        let new = change.added.iter().map(|entry| Held { entry: entry.clone(), missing: None });
        self.held.extend(new);
        change.added.extend(back);
        self.proof = Some(proof.clone());
        self.sound_since = (!list.is_empty()).then(|| self.sound_since.unwrap_or(now));
        change
    }

    /// Why entries may be missing without a meaning.
    fn doubt(&mut self, list: &[Entry], proof: &Proof, now: Duration) -> Option<Doubt> {
        let Proof::Life(life) = proof else { return None };
        if self.proof.as_ref().is_some_and(|before| before != proof) {
            self.sound_since = None;
            return Some(Doubt::StoreLostIt);
        }
        if now < self.unsettled_until {
            return Some(Doubt::StoreLostIt);
        }
        let listed: HashSet<&Entry> = list.iter().collect();
        let lost = self.held.iter().filter(|held| held.missing.is_none() && !listed.contains(&held.entry));
        let lost = lost.count();
        match life {
            Some(_) => (lost >= 2).then_some(Doubt::AtOneBlow(self.terms.moment)),
            None => (lost >= 2 || (lost > 0 && list.is_empty())).then_some(Doubt::AtOneBlow(self.terms.ttl)),
        }
    }

    /// Lets go of those whose doubt is over. `answers` tells whether an engine can be reached.
    pub fn settle(&mut self, now: Duration, answers: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        if self.failing.is_some() {
            return Vec::new();
        }
        let (terms, sound) = (self.terms, self.sound_since);
        let over = |held: &Held| {
            let Some(Missing { since, doubt }) = held.missing else { return false };
            let passed = |from: Duration, time: Duration| now.saturating_sub(from) >= time;
            match doubt {
                Doubt::AtOneBlow(time) => passed(since, time),
                Doubt::StoreLostIt => {
                    let sound_without_it = sound.is_some_and(|sound| passed(sound.max(since), terms.ttl));
                    passed(since, terms.ttl) && (sound_without_it || !answers(&held.entry))
                }
            }
        };
        let out = self.held.iter().filter(|held| over(held)).map(|held| held.entry.clone()).collect();
        self.held.retain(|held| !over(held));
        out
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
