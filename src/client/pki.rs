//! `swarmd pki`: who has a certificate, another CA, certificates that count no more.

use crate::client::{Answer, Manager, pretty, table};
use crate::clock;
use crate::enroll::talk::{Finish, MemberLine, Revoke, Revoked, Standing};
use crate::error::Result;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pki {
    /// How things stand.
    Status,
    /// Another CA.
    Rotate,
    /// The old CA is trusted no more; also if that locks somebody out.
    Finish,
    /// Somebody is out.
    Revoke(Revoke),
}

pub(super) async fn ask(manager: &Manager, wanted: &Pki, json: bool) -> Result<Answer> {
    let standing: Standing = match wanted {
        Pki::Status => manager.get("pki").await?,
        Pki::Rotate => manager.post("pki/rotate", &()).await?,
        Pki::Finish => manager.post("pki/finish", &Finish { force: true }).await?,
        Pki::Revoke(revoke) => {
            let done: Revoked = manager.post("pki/revoke", revoke).await?;
            let whose = match revoke.serial.as_str() {
                "" => format!("of {} {}", revoke.kind, revoke.name),
                serial => format!("with the serial number {serial}"),
            };
            let text = format!("{} certificates {whose} count no more\n", done.certificates);
            return if json { pretty(&done) } else { Ok(Answer { text, good: done.certificates > 0 }) };
        }
    };
    if json { pretty(&standing) } else { Ok(Answer::good(tell(&standing))) }
}

fn tell(standing: &Standing) -> String {
    let behind = standing.members.iter().filter(|member| !member.current).count();
    let state = match (standing.rotating, behind) {
        (false, _) => "one CA".to_string(),
        (true, 0) => {
            "the CA is being replaced: everybody has a new certificate, the old CA goes at once".to_string()
        }
        (true, n) => format!(
            "the CA is being replaced: {n} of {} have no new certificate yet. Agents and managers renew theirs by \
             themselves,\nusers with `swarmd user add`; `swarmd pki rotate --finish` locks out who has not",
            standing.members.len()
        ),
    };
    let head = ["KIND", "NAME", "HOST", "GOOD UNTIL", "CA", "SERIAL", "FOR"];
    let mut rows = Vec::new();
    for member in &standing.members {
        let MemberLine { kind, name, role, hostname, hosts, expires, current, serial, older } = member;
        let older = if older.is_empty() { String::new() } else { format!(" +{}", older.len()) };
        let ca = if *current { "new" } else { "old" };
        let ca = if standing.rotating { ca } else { "" };
        let host = if role.is_empty() { hostname } else { role };
        rows.push(vec![
            kind.clone(),
            name.clone(),
            host.clone(),
            clock::rfc3339(*expires),
            ca.into(),
            format!("{serial}{older}"),
            hosts.join(" "),
        ]);
    }
    format!("CA {}\n{state}\n\n{}", standing.ca, table::table(0, &head, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_says_who_is_behind() {
        let member = |name: &str, current| MemberLine {
            kind: "agent".into(),
            name: name.into(),
            current,
            ..MemberLine::default()
        };
        let mut standing = Standing {
            ca: "pin".into(),
            rotating: true,
            members: vec![member("a", true), member("b", false)],
        };
        let text = tell(&standing);
        assert!(text.contains("1 of 2 have no new certificate yet") && text.contains(" old"), "{text}");
        standing.rotating = false;
        assert!(tell(&standing).starts_with("CA pin\none CA\n"));
    }
}
