//! What `swarmd join --token` is to do, and where its token comes from.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use crate::config::Config;
use crate::docker::endpoint::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::tls::pki::pin::JoinToken;

/// More than a join token and what stands around it.
const LONGEST_TOKEN: u64 = 4096;

/// What to do. Until it is begun, the token may still have to be read.
#[derive(Debug, Clone)]
pub struct Plan<T = JoinToken> {
    /// The token.
    pub token: T,
    /// The manager.
    pub manager: Endpoint,
    /// The configuration of this machine, as far as there is one.
    pub config: Config,
    /// Its file.
    pub file: PathBuf,
    /// Whether to leave the service alone.
    pub no_start: bool,
}

impl Plan<Option<JoinToken>> {
    /// With the token that was said, else with the one that stands in `input`: there no list of processes shows it.
    ///
    /// # Errors
    /// An input that cannot be read, or holds something else. The text never holds the token.
    pub fn with_token(self, input: impl Read) -> Result<Plan> {
        let token = match self.token {
            Some(token) => token,
            None => read_token(input)?,
        };
        let Plan { manager, config, file, no_start, .. } = self;
        Ok(Plan { token, manager, config, file, no_start })
    }
}

fn read_token(input: impl Read) -> Result<JoinToken> {
    let mut text = String::new();
    // One line: whoever types it at a terminal need not end the input.
    BufReader::new(input.take(LONGEST_TOKEN)).read_line(&mut text).map_err(|e| {
        Error::client(Kind::Invalid, format!("cannot read the join token from the standard input: {e}"))
    })?;
    JoinToken::parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_may_come_from_the_input() {
        let secret = format!("SWMD-1-agent-{}-ab-cdefgh", "a".repeat(52));
        let asked = |token| {
            let (manager, config) = (Endpoint::parse("boss:3376").unwrap(), Config::default());
            Plan { token, manager, config, file: PathBuf::new(), no_start: true }
        };
        let read = asked(None).with_token(format!("{secret}\n").as_bytes()).unwrap();
        assert_eq!(read.token.reveal(), secret);
        let typed = asked(None).with_token(format!("{secret}\nmore").as_bytes()).unwrap();
        assert_eq!(typed.token.reveal(), secret, "the first line");
        let said = JoinToken::parse(&secret).unwrap();
        assert_eq!(asked(Some(said.clone())).with_token(&b"other"[..]).unwrap().token, said);
        for text in ["", "\n", &format!("{secret} {secret}"), &secret[..66], &"x".repeat(5000), "\u{e9}"] {
            let error = asked(None).with_token(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind, Kind::Invalid);
            assert!(!error.to_string().contains("cdefgh"), "{error}");
        }
        assert!(asked(None).with_token(&[0xff_u8][..]).unwrap_err().message.contains("standard input"));
    }
}
