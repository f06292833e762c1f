//! The join tokens of the CA: making them, listing them, taking them back. What they are is in `tokens`.

use crate::error::Result;
use crate::tls::pki::authority::{Authority, State, save};
use crate::tls::pki::pin::{JoinToken, Joins, base32};
use crate::tls::pki::random;
use crate::tls::pki::tokens::{Token, Tokens, hash_of};

impl Authority {
    /// A new join token. `ttl` and `uses`: without end and bound if `None`.
    pub fn new_token(
        &self,
        joins: Joins,
        ttl: Option<i64>,
        uses: Option<u32>,
        now: i64,
    ) -> Result<JoinToken> {
        let (id, secret) = (base32(&random::<5>()?), base32(&random::<16>()?));
        let token = Token {
            joins: joins.word().into(),
            hash: hash_of(&secret),
            made: now,
            expires: ttl.map(|ttl| now.saturating_add(ttl)),
            left: uses,
            used: 0,
        };
        let mut state = self.state();
        self.change_tokens(&mut state, |tokens| tokens.add(id.clone(), token, now))?;
        Ok(JoinToken { joins, pin: state.ca.pin.clone(), id, secret })
    }

    /// The tokens, by ID. Their secrets nobody knows here.
    pub fn tokens(&self) -> Vec<(String, Token)> {
        self.state().tokens.list().map(|(id, token)| (id.to_string(), token.clone())).collect()
    }

    /// Takes a token back.
    pub fn revoke_token(&self, id: &str) -> Result<()> {
        self.change_tokens(&mut self.state(), |tokens| tokens.revoke(id))
    }

    /// Takes back all tokens for this.
    pub fn revoke_tokens(&self, joins: Joins) -> Result<usize> {
        self.change_tokens(&mut self.state(), |tokens| Ok(tokens.revoke_all(joins)))
    }

    pub(super) fn change_tokens<T>(
        &self,
        state: &mut State,
        act: impl FnOnce(&mut Tokens) -> Result<T>,
    ) -> Result<T> {
        let mut tokens = state.tokens.clone();
        let value = act(&mut tokens)?;
        save(&self.files().tokens(), &tokens)?;
        state.tokens = tokens;
        Ok(value)
    }
}
