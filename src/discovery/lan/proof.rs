//! How a manager proves that it knows a token before anybody tells it.
//!
//! Whoever answers to mDNS could be anybody. So an agent asks `GET /clusters?digest=D&nonce=N&address=A`, where
//! A is what it connected to, and gets a keyed hash of N and A that only one who knows the token (or the hash of
//! it that registries keep) can make. A manager signs for addresses of its own only, so nobody can pass the
//! question on to it and sell the answer as his. This keeps the token from who merely sends packets; against who
//! can read or redirect the traffic of others only `[tls]` helps.

use hyper::StatusCode;
use ring::hmac;

use crate::discovery::Registry;
use crate::discovery::lan::advert::token_digest;
use crate::discovery::registry_store::TokenHash;
use crate::docker::endpoint::Endpoint;

/// Bytes of a nonce that are taken, and how many an agent sends, in hexadecimal digits.
const LONGEST_NONCE: usize = 64;
const NONCE: usize = 16;

/// The question of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Which token.
    pub digest: String,
    /// Never used before.
    pub nonce: String,
    /// What the agent connected to.
    pub address: String,
}

impl Question {
    /// A new question to the manager at `address`. Errors: the operating system has no randomness.
    pub fn to(address: &Endpoint, hash: &TokenHash) -> Result<Question, getrandom::Error> {
        let mut bytes = [0_u8; NONCE];
        getrandom::fill(&mut bytes)?;
        let nonce = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Question { digest: token_digest(hash), nonce, address: address.to_string() })
    }

    /// As the query of a URL.
    pub fn to_query(&self) -> String {
        form_urlencoded::Serializer::new(String::from("?"))
            .append_pair("digest", &self.digest)
            .append_pair("nonce", &self.nonce)
            .append_pair("address", &self.address)
            .finish()
    }

    /// Reads the query of a URL; `None` if it is none of these questions.
    pub fn of_query(query: &str) -> Option<Question> {
        let get = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let question = Question { digest: get("digest")?, nonce: get("nonce")?, address: get("address")? };
        (!question.nonce.is_empty() && question.nonce.len() <= LONGEST_NONCE).then_some(question)
    }

    fn message(&self) -> String {
        format!("swarmd: I know the token, 1\n{}\n{}", self.nonce, self.address)
    }

    /// The proof.
    fn answer(&self, hash: &TokenHash) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, hash.as_bytes());
        let tag = hmac::sign(&key, self.message().as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether `proof` is one.
    pub fn is_answered_by(&self, hash: &TokenHash, proof: &str) -> bool {
        // The nonce is spent with this answer: there is nothing to learn from how long a comparison takes.
        proof.trim() == self.answer(hash)
    }
}

/// Answers a question. `own` is what this manager advertises.
pub fn answer(registry: &Registry, own: &[Endpoint], question: &Question) -> (StatusCode, String) {
    if !own.iter().any(|address| address.to_string() == question.address) {
        return (StatusCode::FORBIDDEN, "this manager does not advertise that address".into());
    }
    match registry.tokens().iter().find(|hash| token_digest(hash) == question.digest) {
        Some(hash) => (StatusCode::OK, question.answer(hash)),
        None => (StatusCode::NOT_FOUND, "unknown token".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::registry_store::hash;

    fn endpoint(text: &str) -> Endpoint {
        Endpoint::parse(text).unwrap()
    }

    #[test]
    fn who_knows_the_token_can_prove_it() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path(), false).unwrap();
        registry.local("T").unwrap();
        let own = [endpoint("10.0.0.1:3376")];
        let ask = |token: &str, address: &str| {
            let question = Question::to(&endpoint(address), &hash(token)).unwrap();
            let read = Question::of_query(&question.to_query()[1..]).unwrap();
            assert_eq!(read, question);
            (answer(&registry, &own, &read), question)
        };
        let ((status, proof), question) = ask("T", "10.0.0.1:3376");
        assert_eq!(status, StatusCode::OK);
        assert!(question.is_answered_by(&hash("T"), &proof));
        assert!(!question.is_answered_by(&hash("U"), &proof));
        let other = Question::to(&own[0], &hash("T")).unwrap();
        assert!(!other.is_answered_by(&hash("T"), &proof), "not for another nonce");
        let elsewhere = Question { address: "10.0.0.2:3376".into(), ..question };
        assert!(!elsewhere.is_answered_by(&hash("T"), &proof), "not for another address");
        assert_eq!(ask("U", "10.0.0.1:3376").0.0, StatusCode::NOT_FOUND);
        assert_eq!(ask("T", "10.0.0.2:3376").0.0, StatusCode::FORBIDDEN, "it signs for itself only");
    }

    #[test]
    fn what_is_no_question_is_left_alone() {
        let long = format!("digest=d&address=a&nonce={}", "0".repeat(LONGEST_NONCE + 1));
        for query in ["", "digest=d", "digest=d&nonce=&address=a", "nonce=n&address=a", long.as_str()] {
            assert_eq!(Question::of_query(query), None, "{query}");
        }
    }
}
