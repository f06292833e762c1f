//! The words users write for roles, levels, strategies and filters, in both directions.
//!
//! One table per enum; not here: what each of them does.

use super::{Filter, Level, Pull, Role, Strategy};

/// A word and what it means. Several words may mean the same; the first is the one printed.
type Words<T> = &'static [(&'static str, T)];

/// An enum that is written as a word.
pub trait Named: Copy + PartialEq + 'static {
    /// All words, the printed one first.
    const WORDS: Words<Self>;

    /// Reads the exact word.
    fn from_word(text: &str) -> Option<Self> {
        let hit = Self::WORDS.iter().find(|(word, _)| *word == text);
        hit.map(|(_, value)| *value)
    }

    /// The word for this value.
    fn word(self) -> &'static str {
        let hit = Self::WORDS.iter().find(|(_, value)| *value == self);
        hit.map_or("", |(word, _)| word)
    }

    /// All words, for messages: `spread, binpack, random`.
    fn list() -> String {
        let words: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
        words.join(", ")
    }
}

impl Named for Role {
    const WORDS: Words<Role> = &[("manager", Role::Manager), ("agent", Role::Agent), ("both", Role::Both)];
}

impl Named for Level {
    // `fatal` and `panic` are classic names; both are errors here, since neither ends the process by itself.
    const WORDS: Words<Level> = &[
        ("debug", Level::Debug),
        ("info", Level::Info),
        ("warn", Level::Warn),
        ("warning", Level::Warn),
        ("error", Level::Error),
        ("fatal", Level::Error),
        ("panic", Level::Error),
    ];
}

impl Named for Strategy {
    const WORDS: Words<Strategy> = &[
        ("spread", Strategy::Spread),
        ("binpack", Strategy::Binpack),
        ("binpacking", Strategy::Binpack), // the name before 0.2
        ("random", Strategy::Random),
    ];
}

impl Named for Pull {
    const WORDS: Words<Pull> = &[("all", Pull::All), ("lazy", Pull::Lazy)];
}

impl Named for Filter {
    const WORDS: Words<Filter> = &[
        ("health", Filter::Health),
        ("port", Filter::Port),
        ("containerslots", Filter::ContainerSlots),
        ("dependency", Filter::Dependency),
        ("affinity", Filter::Affinity),
        ("constraint", Filter::Constraint),
        ("whitelist", Filter::Whitelist),
    ];
}

/// The candidate that a person most likely meant, when one is close enough to be worth saying.
pub fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase().replace('_', "-");
    // Short words are near to everything, so they get less room.
    let limit = match wanted.chars().count() {
        0..=3 => 1,
        4..=8 => 2,
        long => long / 3,
    };
    candidates
        .map(|candidate| (distance(&wanted, candidate), candidate))
        .filter(|(far, _)| *far <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance (insert, delete, replace), one row of the matrix at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let replace = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        assert_eq!(Strategy::from_word("binpacking"), Some(Strategy::Binpack));
        assert_eq!(Strategy::Binpack.word(), "binpack");
        assert_eq!(Strategy::from_word("Spread"), None);
        assert_eq!(Level::from_word("panic"), Some(Level::Error));
        for (word, filter) in Filter::WORDS {
            assert_eq!(filter.word(), *word);
        }
    }

    #[test]
    fn the_nearest_word_is_found_or_none() {
        let keys = ["strategy", "filter", "replication-ttl", "host"];
        for (typed, meant) in [
            ("stratgy", Some("strategy")),
            ("filters", Some("filter")),
            ("replication_ttl", Some("replication-ttl")),
            ("Host", Some("host")),
            ("hots", Some("host")),
            ("foo", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, keys.into_iter()), meant, "{typed}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
