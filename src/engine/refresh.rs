//! What must be read again, and who waits for it.
//!
//! However many events and callers want the same thing, at most one question about it is under way, and at
//! most one more will follow: a question that was asked before the wish arose does not fulfil it.

use std::collections::HashMap;

/// Something that can be read again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum What {
    Container(String),
    /// A turn to ask for details.
    Turn,
    /// The inspect answers of those of which only the list entry is known.
    Details,
    /// The list entries of those about which something happened.
    Stale,
    Containers,
    Networks,
    Volumes,
    Images,
    Specs,
    Ping,
}

impl What {
    /// Whether it is asked when nothing happens, mostly, so that no other question follows soon.
    pub fn is_lone(&self) -> bool {
        matches!(self, What::Ping | What::Containers | What::Networks | What::Volumes | What::Images)
    }
}

/// Questions under way, with their waiters `W`.
#[derive(Debug)]
pub struct Wishes<W> {
    under_way: HashMap<What, Wish<W>>,
}

#[derive(Debug)]
struct Wish<W> {
    waiting: Vec<W>,
    next: Option<Vec<W>>,
}

impl<W> Default for Wishes<W> {
    fn default() -> Wishes<W> {
        Wishes { under_way: HashMap::new() }
    }
}

impl<W> Wishes<W> {
    /// Adds a wish. True if its question must be asked now; else one is under way and another will follow.
    pub fn add(&mut self, what: &What, waiter: Option<W>) -> bool {
        match self.under_way.get_mut(what) {
            Some(wish) => {
                wish.next.get_or_insert_with(Vec::new).extend(waiter);
                false
            }
            None => {
                self.under_way
                    .insert(what.clone(), Wish { waiting: waiter.into_iter().collect(), next: None });
                true
            }
        }
    }

    /// Whether such a question is under way.
    pub fn is_under_way(&self, what: &What) -> bool {
        self.under_way.contains_key(what)
    }

    /// The question was answered, well or badly. Returns its waiters, and whether it must be asked again.
    pub fn done(&mut self, what: &What) -> (Vec<W>, bool) {
        let Some(wish) = self.under_way.remove(what) else {
            return (Vec::new(), false);
        };
        let again = wish.next.is_some();
        if let Some(waiting) = wish.next {
            self.under_way.insert(what.clone(), Wish { waiting, next: None });
        }
        (wish.waiting, again)
    }

    /// Gives up all questions; returns everyone who waits.
    pub fn clear(&mut self) -> Vec<W> {
        let all = self.under_way.drain();
        all.flat_map(|(_, wish)| wish.waiting.into_iter().chain(wish.next.into_iter().flatten())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_for_one_thing_share_questions_asked_after_them() {
        let mut wishes = Wishes::default();
        assert!(wishes.add(&What::Images, Some(1)));
        assert!(!wishes.add(&What::Images, Some(2)));
        assert!(!wishes.add(&What::Images, Some(3)));
        assert!(wishes.add(&What::Volumes, None));
        assert_eq!(wishes.done(&What::Images), (vec![1], true));
        assert_eq!(wishes.done(&What::Images), (vec![2, 3], false));
        assert!(wishes.add(&What::Images, Some(4)));
        assert_eq!(wishes.clear(), [4]);
    }
}
