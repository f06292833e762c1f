//! The command lines about membership: `join --token`, `join-token`, `pki`. Words in, a command or a question out.

use std::path::PathBuf;

use super::commands::{CommandKind, Spec};
use super::flags::{ASK, FINISH, HELP, SERIAL, TLS};
use super::grammar::Parsed;
use super::operate::Ask;
use super::{Command, Outcome, classic};
use crate::client::Question;
use crate::client::invite::Cluster;
use crate::client::join::Plan;
use crate::client::pki::Pki;
use crate::client::tokens::Tokens;
use crate::config::check::Purpose;
use crate::config::load::Sources;
use crate::config::pki::OWN_LIST;
use crate::config::problem::into_error;
use crate::config::{Config, file, units};
use crate::docker::endpoint::Endpoint;
use crate::enroll::talk::{NewToken, Revoke};
use crate::tls::pki::pin::{JoinToken, Joins};

/// The commands below `pki`.
pub static PKI: &[Spec] = &[
    Spec {
        name: "pki status",
        short: "",
        summary: "List certificates, and show how far a rotation of the CA is",
        flags: &[ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::PkiStatus),
    },
    Spec {
        name: "pki rotate",
        short: "",
        summary: "Replace the CA while everything runs on",
        flags: &[FINISH, ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::PkiRotate),
    },
    Spec {
        name: "pki revoke",
        short: "",
        summary: "Let the certificates of a machine or user count no more",
        flags: &[SERIAL, ASK, TLS, &[HELP]],
        kind: CommandKind::Ask(Ask::PkiRevoke),
    },
];

/// `pki ...`
pub(super) fn pki(ask: Ask, parsed: &Parsed) -> Result<Question, String> {
    let words: Vec<&str> = parsed.positionals.iter().map(String::as_str).collect();
    let question = match (ask, words.as_slice()) {
        (Ask::PkiRevoke, []) if parsed.has("serial") => {
            Pki::Revoke(Revoke { serial: serial(parsed)?, ..Revoke::default() })
        }
        (Ask::PkiRevoke, _) if parsed.has("serial") => {
            return Err("--serial stands for itself, without a name".into());
        }
        (Ask::PkiRevoke, [kind @ ("agent" | "manager" | "user"), name]) => {
            Pki::Revoke(Revoke { kind: (*kind).to_string(), name: (*name).to_string(), ..Revoke::default() })
        }
        (Ask::PkiRevoke, _) => return Err("whose certificates: agent, manager or user, and the name".into()),
        (Ask::PkiRotate, []) if parsed.switch("finish") == Some(true) => Pki::Finish,
        (Ask::PkiRotate, []) => Pki::Rotate,
        (Ask::PkiStatus, []) => Pki::Status,
        (_, words) => return Err(format!("it takes no arguments, got {}", words.join(" "))),
    };
    Ok(Question::Pki(question))
}

/// As lists and logs show it; openssl writes colons and capitals.
fn serial(parsed: &Parsed) -> Result<String, String> {
    let text = parsed.last("serial").unwrap_or_default().replace(':', "").to_ascii_lowercase();
    match !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(text),
        false => Err("--serial takes hexadecimal digits, as `swarmd pki status` shows them".into()),
    }
}

/// `join-token ...`. A configuration of this machine (nobody `named` another manager) without certificates of its own
/// has plain tokens, which the configuration holds.
pub(super) fn join_token(parsed: &Parsed, config: &Config, named: bool) -> Result<Question, String> {
    let words: Vec<&str> = parsed.positionals.iter().map(String::as_str).collect();
    let url = config.discovery.url.clone().filter(|url| url != OWN_LIST);
    let plain = |url: Option<String>| url.map(|url| Cluster { url, tls: config.tls.clone() });
    let is_plain = !named && !config.has_pki();
    let (role, rotate) = match words.as_slice() {
        ["ls"] => return Ok(Question::Tokens(Box::new(Tokens::List))),
        ["revoke", id] => return Ok(Question::Tokens(Box::new(Tokens::Revoke((*id).to_string())))),
        ["agent", url] => {
            let cluster = Cluster { url: (*url).to_string(), tls: config.tls.clone() };
            return Ok(Question::JoinToken(Box::new(cluster)));
        }
        ["agent"] if is_plain => {
            let cluster = plain(url).ok_or("no discovery.url in the configuration: name it behind agent")?;
            return Ok(Question::JoinToken(Box::new(cluster)));
        }
        [role] => (*role, false),
        ["rotate", role] => (*role, true),
        _ => return Err("who is to join: agent or manager".into()),
    };
    if Joins::parse(role).is_none() {
        return Err(format!("agents and managers join with a token, not {role:?}"));
    }
    let new = NewToken { joins: role.to_string(), ttl: ttl(parsed)?, uses: uses(parsed, role)?, rotate };
    let cluster = if role == "agent" && !rotate { plain(url) } else { None };
    Ok(Question::Tokens(Box::new(Tokens::New(new, cluster))))
}

/// Whole seconds, begun ones included.
fn ttl(parsed: &Parsed) -> Result<i64, String> {
    let text = parsed.last("ttl").unwrap_or("24h");
    match units::parse_nanos(text).map_err(|e| format!("invalid --ttl: {e}"))? {
        nanos if nanos < 0 => Err(format!("invalid --ttl {text}: it is no negative number")),
        nanos => Ok((nanos + 999_999_999) / 1_000_000_000),
    }
}

/// Managers may do everything, so a token for them that got around is to be worth nothing: one machine, if nothing is said.
fn uses(parsed: &Parsed, role: &str) -> Result<u32, String> {
    let unsaid = if role == Joins::Manager.word() { "1" } else { "0" };
    let text = parsed.last("uses").unwrap_or(unsaid);
    text.parse().map_err(|_| format!("invalid --uses {text:?}: a number from 0"))
}

/// Where a join token may stand that no list of processes is to show.
const TOKEN_VARIABLE: &str = "SWARMD_JOIN_TOKEN";

/// Whether a `join` is one with a join token. One in the environment does not turn a classic line into another: those
/// name a discovery, which has a scheme.
pub(super) fn has_token(parsed: &Parsed, env: &dyn Fn(&str) -> Option<String>) -> bool {
    let of_manager = || matches!(parsed.positionals.as_slice(), [manager] if !manager.contains("://"));
    parsed.has("token") || (of_manager() && env(TOKEN_VARIABLE).is_some_and(|token| !token.is_empty()))
}

/// `join --token ... HOST:PORT`
pub(super) fn join(
    program: &str,
    parsed: &Parsed,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Command, Outcome> {
    let misused = |text: String| {
        let usage = format!("usage: {program} join --token SWMD-1-... HOST:PORT");
        Outcome::failure(format!("{text}\n{usage}"), 64)
    };
    let said = parsed.last("token").map(str::to_string).or_else(|| env(TOKEN_VARIABLE)).unwrap_or_default();
    let token = match said.as_str() {
        "-" => None,
        text => Some(JoinToken::parse(text).map_err(|e| misused(e.to_string()))?),
    };
    let [manager] = parsed.positionals.as_slice() else {
        return Err(misused("name the manager, as the line of `swarmd join-token` does".into()));
    };
    let manager = Endpoint::parse(manager).map_err(|e| misused(e.to_string()))?;
    let path = PathBuf::from(parsed.last("config").unwrap_or(file::DEFAULT_PATH));
    let mut sources = Sources::new(Purpose::Create, program);
    sources.file = Some((path.clone(), parsed.has("config")));
    sources.flags = classic::settings(parsed);
    let loaded = sources.load().map_err(|problems| Outcome::of_error(&into_error(&problems)))?;
    let no_start = parsed.switch("no-start").unwrap_or(false);
    Ok(Command::Enroll(Box::new(Plan { token, manager, config: loaded.config, file: path, no_start })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, Outcome> {
        let words: Vec<String> = line.split(' ').map(String::from).collect();
        crate::cli::parse("swarmd", &words, &|_| None)
    }

    fn question(line: &str) -> Result<Question, String> {
        match parse(line) {
            Ok(Command::Ask { question, .. }) => Ok(question),
            Ok(other) => panic!("{other:?}"),
            Err(outcome) => Err(outcome.stderr),
        }
    }

    #[test]
    fn words_about_tokens() {
        for (line, expected) in [
            ("join-token -H h:1 agent", ("agent", 86_400, 0, false)),
            ("join-token -H h:1 manager --ttl 0 --uses 2", ("manager", 0, 2, false)),
            ("join-token -H h:1 manager", ("manager", 86_400, 1, false)),
            ("join-token -H h:1 manager --uses 0", ("manager", 86_400, 0, false)),
            ("join-token -H h:1 rotate manager", ("manager", 86_400, 1, true)),
            ("join-token -H h:1 rotate agent --ttl 1.5s", ("agent", 2, 0, true)),
        ] {
            let Ok(Question::Tokens(tokens)) = question(line) else { panic!("{line}") };
            let Tokens::New(new, _) = *tokens else { panic!("{line}") };
            assert_eq!((new.joins.as_str(), new.ttl, new.uses, new.rotate), expected, "{line}");
        }
        assert!(matches!(question("join-token -H h:1 ls"), Ok(Question::Tokens(t)) if *t == Tokens::List));
        let revoke = Tokens::Revoke("ab".into());
        assert!(matches!(question("join-token -H h:1 revoke ab"), Ok(Question::Tokens(t)) if *t == revoke));
        for (line, text) in [
            ("join-token -H h:1 boss", "agents and managers join with a token, not \"boss\""),
            ("join-token -H h:1", "who is to join"),
            ("join-token -H h:1 agent --ttl -1s", "invalid --ttl"),
            ("join-token -H h:1 agent --uses -1", "invalid --uses"),
        ] {
            assert!(question(line).unwrap_err().contains(text), "{line}");
        }
    }

    #[test]
    fn words_about_the_ca() {
        assert!(matches!(question("pki status -H h:1"), Ok(Question::Pki(Pki::Status))));
        assert!(matches!(question("pki rotate -H h:1"), Ok(Question::Pki(Pki::Rotate))));
        assert!(matches!(question("pki rotate --finish -H h:1"), Ok(Question::Pki(Pki::Finish))));
        let Ok(Question::Pki(Pki::Revoke(who))) = question("pki revoke agent ab -H h:1") else { panic!() };
        assert_eq!((who.kind.as_str(), who.name.as_str()), ("agent", "ab"));
        assert!(question("pki revoke ab -H h:1").unwrap_err().contains("whose certificates"));
        let Ok(Question::Pki(Pki::Revoke(one))) = question("pki revoke --serial 4A:0b -H h:1") else {
            panic!()
        };
        assert_eq!((one.serial.as_str(), one.name.as_str()), ("4a0b", ""));
        assert!(question("pki revoke --serial 4a agent ab -H h:1").unwrap_err().contains("without a name"));
        assert!(question("pki revoke --serial xyz -H h:1").unwrap_err().contains("hexadecimal"));
    }

    #[test]
    fn joining_with_a_token_is_another_command() {
        let token = format!("SWMD-1-agent-{}-ab-cd", "a".repeat(52));
        let Ok(Command::Enroll(plan)) =
            parse(&format!("join --no-start --state-dir /s --token {token} boss:3376"))
        else {
            panic!()
        };
        assert_eq!((plan.manager.to_string().as_str(), plan.no_start), ("boss:3376", true));
        assert_eq!(plan.config.state_dir, PathBuf::from("/s"));
        assert!(matches!(parse("join --addr a:1 token://T"), Ok(Command::Join(_))));
        let refused = |line: &str| parse(line).map(|_| ()).unwrap_err();
        assert_eq!(refused(&format!("join --token {token}")).code, 64);
        let bad = refused("join --token SWMD-1-agent-x boss:3376");
        assert!(bad.stderr.contains("this is no join token"), "{}", bad.stderr);
    }

    #[test]
    fn a_token_need_not_be_said() {
        let secret = format!("SWMD-1-agent-{}-ab-cdefgh", "a".repeat(52));
        let parse = |line: &str, variable: &str| {
            let words: Vec<String> = line.split(' ').map(String::from).collect();
            crate::cli::parse("swarmd", &words, &|name| {
                (name == TOKEN_VARIABLE).then(|| variable.to_string())
            })
        };
        for (line, variable, token) in [
            ("join --token - boss:3376", "", None),
            ("join --token=- boss:3376", secret.as_str(), None),
            ("join boss:3376", &secret, Some(&secret)),
            ("join boss:3376", "-", None),
        ] {
            let Ok(Command::Enroll(plan)) = parse(line, variable) else { panic!("{line}") };
            assert_eq!(plan.token.map(|token| token.reveal()).as_ref(), token, "{line}");
        }
        let classic = "join --addr a:1 token://T";
        assert!(matches!(parse(classic, &secret), Ok(Command::Join(_))), "named by a scheme, as ever");
        let bad = parse("join boss:3376", &secret[..66]).unwrap_err();
        assert!(bad.code == 64 && !bad.stderr.contains("cdefgh"), "{}", bad.stderr);
    }
}
