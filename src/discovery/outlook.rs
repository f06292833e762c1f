//! How discovery stands, in words for `docker info`, the supervisor and the log. Pure.

use crate::error::Error;

/// What is worth telling about discovery.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// How many engines are members.
    pub members: usize,
    /// How many of them the list does not name.
    pub kept: usize,
    /// Since when the list cannot be read, in Unix seconds, and why.
    pub failing: Option<(i64, Error)>,
}

impl Outlook {
    /// What is wrong, if something is. `now` in Unix seconds.
    pub fn trouble(&self, now: i64) -> Option<String> {
        let keeping = |count: usize| match count {
            1 => "keeping 1 node".to_string(),
            count => format!("keeping {count} nodes"),
        };
        match (&self.failing, self.members, self.kept) {
            (Some((since, error)), 0, _) => Some(format!("unreachable since {}: {error}", span(now - since))),
            (Some((since, error)), members, _) => {
                Some(format!("unreachable since {}, {}: {error}", span(now - since), keeping(members)))
            }
            (None, _, 0) => None,
            (None, _, kept) => {
                Some(format!("the list lost entries, {} until their agents are back", keeping(kept)))
            }
        }
    }
}

/// Seconds, minutes, hours or days, whichever says most.
fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..120 => format!("{s}s"),
        s @ 120..7200 => format!("{}m", s / 60),
        s @ 7200..172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn tells_trouble_only() {
        let mut outlook = Outlook { members: 3, ..Outlook::default() };
        assert_eq!(outlook.trouble(0), None);
        outlook.kept = 1;
        let text = "the list lost entries, keeping 1 node until their agents are back";
        assert_eq!(outlook.trouble(0).as_deref(), Some(text));
        outlook.failing = Some((1000, Error::store(Kind::Connect, "no etcd")));
        assert_eq!(outlook.trouble(1125).as_deref(), Some("unreachable since 2m, keeping 3 nodes: no etcd"));
        outlook.members = 0;
        assert_eq!(outlook.trouble(1030).as_deref(), Some("unreachable since 30s: no etcd"));
    }
}
