//! `swarmd join-token` of a cluster with certificates of its own: the one line for the next machine, the tokens that
//! there are, taking them back.

use crate::client::invite::{self, Cluster};
use crate::client::target::Target;
use crate::client::{Answer, Manager, pretty, segment, table};
use crate::clock;
use crate::enroll::talk::{Minted, NewToken, TokenLine};
use crate::error::{Error, Kind, Result};

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Tokens {
    /// A new one. With the cluster as the configuration names it, for managers without certificates of their own.
    New(NewToken, Option<Cluster>),
    /// All.
    List,
    /// One is taken back.
    Revoke(String),
}

pub(super) async fn ask(target: &Target, wanted: &Tokens, json: bool) -> Result<Answer> {
    match wanted {
        Tokens::New(new, plain) => match Manager::at(target)?.post::<Minted>("tokens", new).await {
            Ok(minted) if json => pretty(&minted),
            Ok(minted) => Ok(Answer::good(line(&minted, new))),
            Err(error) => match plain {
                // It has no certificates to give, or is an older one.
                Some(cluster) if has_none(&error) => invite::invite(target, cluster, json).await,
                _ => Err(error),
            },
        },
        Tokens::List => {
            let tokens: Vec<TokenLine> = Manager::at(target)?.get("tokens").await?;
            if json { pretty(&tokens) } else { Ok(Answer::good(list(&tokens, clock::unix_seconds()))) }
        }
        Tokens::Revoke(id) => {
            let id: String = Manager::at(target)?.delete(&format!("tokens/{}", segment(id))).await?;
            if json { pretty(&id) } else { Ok(Answer::good(format!("{id}\n"))) }
        }
    }
}

fn has_none(error: &Error) -> bool {
    matches!(error.kind, Kind::Status(501 | 404) | Kind::Protocol | Kind::Unsupported)
}

fn line(minted: &Minted, wanted: &NewToken) -> String {
    let Minted { token, id, expires, manager } = minted;
    let until = expires.map_or("for ever".to_string(), |at| format!("until {}", clock::rfc3339(at)));
    let machines = match wanted.uses {
        0 => "any number of machines".to_string(),
        1 => "one machine".to_string(),
        many => format!("{many} machines"),
    };
    format!(
        "On the machine that joins as {}, where swarmd is installed:\n\n    sudo swarmd join --token {token} {manager}\n\n\
         It is good {until}, for {machines}. Whoever has it can join: `swarmd join-token revoke {id}` takes it back.\n",
        wanted.joins
    )
}

fn list(tokens: &[TokenLine], now: i64) -> String {
    let mut rows = Vec::new();
    for token in tokens {
        let until = match token.expires {
            None => "for ever".into(),
            Some(end) if end <= now => "ended".into(),
            Some(end) => clock::rfc3339(end),
        };
        let left = token.left.map_or("any".into(), |left| left.to_string());
        let made = clock::rfc3339(token.made);
        rows.push(vec![token.id.clone(), token.joins.clone(), made, until, token.used.to_string(), left]);
    }
    table::table(0, &["ID", "FOR", "MADE", "GOOD UNTIL", "USED", "LEFT"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_one_to_paste() {
        let minted = Minted {
            token: "SWMD-1-agent-p-i-s".into(),
            id: "i".into(),
            expires: Some(86_400),
            manager: "boss:3376".into(),
        };
        let wanted = NewToken { joins: "agent".into(), uses: 1, ..NewToken::default() };
        let text = line(&minted, &wanted);
        assert!(text.contains("\n    sudo swarmd join --token SWMD-1-agent-p-i-s boss:3376\n"), "{text}");
        assert!(text.contains("good until 1970-01-02T00:00:00Z, for one machine."), "{text}");
    }

    #[test]
    fn a_list_shows_no_secret_and_what_has_ended() {
        let token = |id: &str, expires, left| TokenLine {
            id: id.into(),
            joins: "agent".into(),
            expires,
            left,
            ..TokenLine::default()
        };
        let text = list(&[token("a", Some(5), Some(0)), token("b", None, None)], 10);
        assert!(text.contains("ended") && text.contains("for ever"), "{text}");
    }
}
