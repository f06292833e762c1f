//! Join tokens as the first manager keeps them: by hash, with an end and a number of uses. Pure: time comes in.
//!
//! Whoever reads the file can join nothing with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::tls::pki::hex;
use crate::tls::pki::pin::Joins;

/// More would be a mistake of a script.
const MOST: usize = 1000;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// `agent` or `manager`.
    pub joins: String,
    /// SHA-256 of its secret, lower-case hexadecimal.
    pub hash: String,
    /// When it was made, seconds since the epoch.
    pub made: i64,
    /// When it ends; `None`: never.
    pub expires: Option<i64>,
    /// How many machines may still join with it; `None`: any number.
    pub left: Option<u32>,
    /// How many have.
    pub used: u32,
}

/// All tokens, by their IDs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    tokens: BTreeMap<String, Token>,
}

impl Tokens {
    /// Takes up a new token.
    ///
    /// # Errors
    /// `Kind::Conflict` when there are too many.
    pub fn add(&mut self, id: String, token: Token, now: i64) -> Result<()> {
        self.prune(now);
        if self.tokens.len() >= MOST {
            let text = format!("there are {MOST} join tokens already");
            return Err(
                Error::client(Kind::Conflict, text).advise("take some back: swarmd join-token revoke ID")
            );
        }
        self.tokens.insert(id, token);
        Ok(())
    }

    /// Uses a token once.
    ///
    /// # Errors
    /// `Kind::Permission`, and why: to who knows the secret. Who does not learns nothing but that.
    pub fn spend(&mut self, id: &str, secret: &str, joins: Joins, now: i64) -> Result<()> {
        let refused = |why: &str| {
            Error::client(Kind::Permission, format!("the join token {why}"))
                .advise(format!("make another on the manager: swarmd join-token {}", joins.word()))
        };
        let unknown = || refused("is not known here, or was revoked");
        // Compared also when there is no such token, so that the time it takes says nothing.
        let hash = self.tokens.get(id).map_or("", |token| token.hash.as_str());
        let right = is_same(hash, &hash_of(secret));
        let token = self.tokens.get_mut(id).filter(|_| right).ok_or_else(unknown)?;
        if token.joins != joins.word() {
            return Err(refused(&format!("is for joining as {}", token.joins)));
        }
        if token.expires.is_some_and(|end| end <= now) {
            return Err(refused("has expired"));
        }
        match &mut token.left {
            Some(0) => return Err(refused("is used up")),
            Some(left) => *left -= 1,
            None => {}
        }
        token.used = token.used.saturating_add(1);
        Ok(())
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// `Kind::NotFound`.
    pub fn revoke(&mut self, id: &str) -> Result<()> {
        let advice = "`swarmd join-token ls` shows those that there are";
        let unknown = || Error::client(Kind::NotFound, format!("no such join token: {id}")).advise(advice);
        self.tokens.remove(id).map(drop).ok_or_else(unknown)
    }

    /// Takes all tokens back that are for this. Their number.
    pub fn revoke_all(&mut self, joins: Joins) -> usize {
        let before = self.tokens.len();
        self.tokens.retain(|_, token| token.joins != joins.word());
        before - self.tokens.len()
    }

    /// Those that there are, with those that ended lately, by ID.
    pub fn list(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.tokens.iter().map(|(id, token)| (id.as_str(), token))
    }

    /// Forgets what ended a week ago. Until then whoever uses it is told that it has ended, not that it is unknown.
    fn prune(&mut self, now: i64) {
        const A_WEEK: i64 = 7 * 24 * 3600;
        self.tokens.retain(|_, token| {
            let ended = token.expires.is_some_and(|end| end + A_WEEK <= now);
            let used_up = token.left == Some(0) && token.made + A_WEEK <= now;
            !(ended || used_up)
        });
    }
}

/// What is kept of a secret.
pub fn hash_of(secret: &str) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, secret.as_bytes()).as_ref())
}

/// Takes as long whatever differs.
fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(expires: Option<i64>, left: Option<u32>) -> Tokens {
        let mut tokens = Tokens::default();
        let token = Token { joins: "agent".into(), hash: hash_of("s"), made: 0, expires, left, used: 0 };
        tokens.add("id".into(), token, 0).unwrap();
        tokens
    }

    fn refusal(tokens: &mut Tokens, id: &str, secret: &str, joins: Joins, now: i64) -> String {
        let error = tokens.spend(id, secret, joins, now).unwrap_err();
        assert_eq!(error.kind, Kind::Permission);
        error.message
    }

    #[test]
    fn each_way_to_be_refused() {
        let mut tokens = tokens(Some(100), Some(1));
        for (id, secret, joins, now, why) in [
            ("id", "wrong", Joins::Agent, 1, "the join token is not known here, or was revoked"),
            ("other", "s", Joins::Agent, 1, "the join token is not known here, or was revoked"),
            ("other", "", Joins::Agent, 1, "the join token is not known here, or was revoked"),
            ("id", "s", Joins::Manager, 1, "the join token is for joining as agent"),
            ("id", "s", Joins::Agent, 100, "the join token has expired"),
        ] {
            assert_eq!(refusal(&mut tokens, id, secret, joins, now), why);
        }
        tokens.spend("id", "s", Joins::Agent, 99).unwrap();
        assert_eq!(refusal(&mut tokens, "id", "s", Joins::Agent, 99), "the join token is used up");
        tokens.revoke("id").unwrap();
        assert_eq!(
            refusal(&mut tokens, "id", "s", Joins::Agent, 99),
            "the join token is not known here, or was revoked"
        );
        assert_eq!(tokens.revoke("id").unwrap_err().kind, Kind::NotFound);
    }

    #[test]
    fn without_end_and_bound_it_works_for_ever() {
        let mut tokens = tokens(None, None);
        for _ in 0..3 {
            tokens.spend("id", "s", Joins::Agent, i64::MAX).unwrap();
        }
        assert_eq!(tokens.list().next().unwrap().1.used, 3);
        assert_eq!((tokens.revoke_all(Joins::Manager), tokens.revoke_all(Joins::Agent)), (0, 1));
    }

    #[test]
    fn what_has_ended_is_forgotten_in_time() {
        let mut tokens = tokens(Some(100), None);
        tokens.prune(100 + 6 * 24 * 3600);
        assert_eq!(tokens.list().count(), 1);
        tokens.prune(100 + 7 * 24 * 3600);
        assert_eq!(tokens.list().count(), 0);
    }
}
