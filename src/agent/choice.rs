//! With which managers to stay, and with which to begin: pure.
//!
//! mDNS is a hint, both ways. That a manager was seen is a reason to try; that it is seen no longer is none to leave
//! while it still takes the heartbeats, for packets to many get lost where packets to one do not, and anybody on the
//! LAN can send them. Who was started anew under another name is left when that one has proven to be there.

use crate::discovery::lan::Found;
use crate::docker::endpoint::Endpoint;

/// A found manager with which the engine is registered, or should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) instance: String,
    /// Where it is.
    pub(super) addresses: Vec<Endpoint>,
    /// Whether the last attempt failed.
    pub(super) failing: bool,
    /// Whether it went well: then it knows the token.
    pub(super) proven: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin to register there.
    Begin(Found),
    /// It said something new of itself: use that, and try at once.
    Follow(Found),
    /// It is not seen any more: see at once whether it is still there.
    Check(String),
    /// It is not seen, and does not answer, or has been started anew under another name.
    Leave(String),
}

/// Compares those that are kept with those that were found, now and before.
pub(super) fn choose(kept: &[Kept], before: &[Found], now: &[Found]) -> Vec<Step> {
    let seen = |list: &[Found], instance: &str| list.iter().any(|f| f.instance == instance);
    let shares = |k: &Kept, other: &Kept| other.addresses.iter().any(|a| k.addresses.contains(a));
    let replaced = |k: &Kept| kept.iter().any(|o| o.proven && seen(now, &o.instance) && shares(k, o));
    let gone =
        kept.iter().filter(|k| !seen(now, &k.instance)).filter_map(|k| match k.failing || replaced(k) {
            true => Some(Step::Leave(k.instance.clone())),
            false if seen(before, &k.instance) => Some(Step::Check(k.instance.clone())),
            false => None,
        });
    let here = now.iter().filter_map(|found| match kept.iter().any(|k| k.instance == found.instance) {
        false => Some(Step::Begin(found.clone())),
        true if !before.contains(found) => Some(Step::Follow(found.clone())),
        true => None,
    });
    gone.chain(here).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::lan::advert::Advert;
    use proptest::prelude::*;

    fn found(instance: &str, port: u16) -> Found {
        let advert = Advert { tokens: vec![], tls: false, version: String::new(), api: None };
        let addresses = vec![Endpoint::Tcp { host: instance.into(), port }];
        Found { instance: instance.into(), addresses, advert }
    }

    fn kept(instance: &str, failing: bool) -> Kept {
        Kept { instance: instance.into(), addresses: found(instance, 1).addresses, failing, proven: !failing }
    }

    #[test]
    fn new_ones_begin_changed_ones_are_followed_the_rest_stays() {
        let (a, b) = ([found("a", 1)], found("b", 1));
        assert_eq!(choose(&[], &[], &a), [Step::Begin(a[0].clone())]);
        assert_eq!(choose(&[kept("a", true)], &a, &a), [], "it has its own retries");
        let moved = found("a", 2);
        let steps = choose(&[kept("a", false)], &a, &[moved.clone(), b.clone()]);
        assert_eq!(steps, [Step::Follow(moved), Step::Begin(b)]);
        assert_eq!(choose(&[kept("a", true)], &[], &a), [Step::Follow(a[0].clone())], "it is back");
    }

    #[test]
    fn who_is_not_seen_is_left_only_when_he_does_not_answer() {
        let a = [found("a", 1)];
        assert_eq!(choose(&[kept("a", false)], &a, &[]), [Step::Check("a".into())]);
        assert_eq!(choose(&[kept("a", false)], &[], &[]), [], "it was asked once, and answers");
        assert_eq!(choose(&[kept("a", true)], &a, &[]), [Step::Leave("a".into())]);
        let anew = [Found { instance: "a2".into(), ..a[0].clone() }];
        let steps = choose(&[kept("a", false)], &a, &anew);
        let begun = Step::Begin(anew[0].clone());
        assert_eq!(steps, [Step::Check("a".into()), begun], "anybody can say so");
        let mut both = [kept("a", false), Kept { instance: "a2".into(), ..kept("a", true) }];
        assert_eq!(choose(&both, &anew, &anew), []);
        both[1] = Kept { instance: "a2".into(), ..kept("a", false) };
        assert_eq!(choose(&both, &anew, &anew), [Step::Leave("a".into())], "not registered with twice");
    }

    fn some() -> impl Strategy<Value = Vec<Found>> {
        let all = prop::collection::btree_map("[a-e]", 1_u16..3, 0..5);
        all.prop_map(|map| map.into_iter().map(|(name, port)| found(&name, port)).collect())
    }

    proptest! {
        #[test]
        fn afterwards_all_that_are_seen_are_kept_and_nobody_dead(
            before in some(), now in some(), kept in prop::collection::btree_map("[a-e]", any::<bool>(), 0..5),
        ) {
            let kept: Vec<Kept> = kept.into_iter().map(|(name, failing)| self::kept(&name, failing)).collect();
            let steps = choose(&kept, &before, &now);
            let mut names: Vec<String> = kept.iter().map(|k| k.instance.clone()).collect();
            for step in &steps {
                match step {
                    Step::Begin(f) => {
                        prop_assert!(!names.contains(&f.instance));
                        names.push(f.instance.clone());
                    }
                    Step::Leave(name) => names.retain(|n| n != name),
                    Step::Follow(f) => prop_assert!(names.contains(&f.instance)),
                    Step::Check(name) => prop_assert!(names.contains(name)),
                }
            }
            for f in &now {
                prop_assert!(names.contains(&f.instance));
            }
            for k in kept.iter().filter(|k| names.contains(&k.instance)) {
                prop_assert!(!k.failing || now.iter().any(|f| f.instance == k.instance));
            }
            for k in kept.iter().filter(|k| !names.contains(&k.instance)) {
                prop_assert!(k.failing, "a manager that answers is never left");
            }
        }
    }
}
