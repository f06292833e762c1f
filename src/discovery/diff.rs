//! What changed between two deliveries. Pure.

use std::collections::HashSet;

use crate::discovery::Entry;

/// What to do with a newly delivered list: first forget `removed`, then take in `added`. An engine that
/// changed its address is so never known twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diff {
    /// Known, and no longer listed; in the order in which they were known.
    pub removed: Vec<Entry>,
    /// Listed, and not known; in the order of the list, each once.
    pub added: Vec<Entry>,
}

/// Compares the known entries with a delivered list. Order and duplicates mean nothing.
pub fn diff(known: &[Entry], delivered: &[Entry]) -> Diff {
    let listed: HashSet<&Entry> = delivered.iter().collect();
    let mut seen: HashSet<&Entry> = known.iter().collect();
    let removed = known.iter().filter(|e| !listed.contains(e)).cloned().collect();
    let added = delivered.iter().filter(|e| seen.insert(e)).cloned().collect();
    Diff { removed, added }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(numbers: &[u16]) -> Vec<Entry> {
        let entry = |n: &u16| Entry::Tcp { host: format!("n{n}"), port: 2375 };
        numbers.iter().map(entry).collect()
    }

    #[test]
    fn table() {
        for (known, delivered, removed, added) in [
            (&[][..], &[1, 2][..], &[][..], &[1, 2][..]),
            (&[1, 2], &[2, 1], &[], &[]),
            (&[1, 2], &[2, 3, 3], &[1], &[3]),
            (&[1], &[], &[1], &[]),
            (&[], &[1, 1], &[], &[1]),
        ] {
            let diff = diff(&entries(known), &entries(delivered));
            assert_eq!(diff.removed, entries(removed), "{known:?} -> {delivered:?}");
            assert_eq!(diff.added, entries(added), "{known:?} -> {delivered:?}");
        }
    }

    proptest! {
        #[test]
        fn applied_it_gives_the_delivered_set(
            known in proptest::collection::hash_set(0u16..20, 0..20),
            delivered in proptest::collection::vec(0u16..20, 0..30),
        ) {
            let mut held = entries(&known.into_iter().collect::<Vec<_>>());
            let delivered = entries(&delivered);
            let Diff { removed, added } = diff(&held, &delivered);
            held.retain(|e| !removed.contains(e));
            held.extend(added);
            let unique: HashSet<_> = held.iter().collect();
            prop_assert_eq!(unique.len(), held.len());
            prop_assert_eq!(unique, delivered.iter().collect::<HashSet<_>>());
        }
    }
}
