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
    let mut locked_out = Vec::new();
    let standing: Standing = match wanted {
        Pki::Status => manager.get("pki").await?,
        Pki::Rotate => manager.post("pki/rotate", &()).await?,
        Pki::Finish => {
            let before: Standing = manager.get("pki").await?;
            if before.rotating {
                locked_out = before.members.into_iter().filter(|member| !member.current).collect();
            }
            manager.post("pki/finish", &Finish { force: true }).await?
        }
        Pki::Revoke(revoke) => {
            let done: Revoked = manager.post("pki/revoke", revoke).await?;
            let whose = match revoke.serial.as_str() {
                "" => format!("of {} {}", revoke.kind, revoke.name),
                serial => format!("with the serial number {serial}"),
            };
            let unknown = match done.unknown {
                true => "; it was not on the book of the CA: is the number right?",
                false => "",
            };
            let text = format!("{} certificates {whose} count no more{unknown}\n", done.certificates);
            return if json { pretty(&done) } else { Ok(Answer { text, good: done.certificates > 0 }) };
        }
    };
    match json {
        true => pretty(&standing),
        false => Ok(Answer::good(tell(&standing) + &outside(&locked_out))),
    }
}

/// Who has only certificates of a CA that is trusted no more, and what to do.
fn outside(members: &[MemberLine]) -> String {
    if members.is_empty() {
        return String::new();
    }
    let lines: String = members.iter().map(|member| format!("  {}\n", cure(member))).collect();
    format!("\nLocked out:\n{lines}")
}

/// Users who hold up the end of a rotation: nothing renews their certificates but a person.
fn users_behind(standing: &Standing) -> String {
    let behind = |member: &&MemberLine| member.kind == "user" && !member.current;
    let lines: String =
        standing.members.iter().filter(behind).map(|member| format!("  {}\n", cure(member))).collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!("\nThese users hold up the end of the rotation:\n{lines}"),
    }
}

/// How somebody gets a certificate of the CA that signs now.
fn cure(MemberLine { kind, name, role, hostname, expires, .. }: &MemberLine) -> String {
    let until = clock::rfc3339(*expires);
    match kind.as_str() {
        "user" => format!(
            "{name} ({role}, until {until}): `swarmd user add {name} --role {role}` makes a new one to hand over, `swarmd \
             user rm {name}` takes this user out"
        ),
        _ => format!(
            "{kind} {name} ({hostname}): `swarmd join-token {kind}` prints the line to join again; `swarmd pki revoke {kind} \
             {name}` if it is gone"
        ),
    }
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
             themselves,\nusers get one with `swarmd user add`; `swarmd pki rotate --finish` locks out who has none",
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
    let held_up = if standing.rotating { users_behind(standing) } else { String::new() };
    format!("CA {}\n{state}\n\n{}{held_up}", standing.ca, table::table(0, &head, &rows))
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
        assert!(!text.contains("hold up"), "agents renew by themselves: {text}");
        let user = |name: &str, current| MemberLine {
            kind: "user".into(),
            name: name.into(),
            role: "reader".into(),
            current,
            ..MemberLine::default()
        };
        standing.members.extend([user("alice", false), user("bob", true)]);
        let text = tell(&standing);
        let (_, held_up) = text.split_once("hold up the end of the rotation:\n").expect("a list");
        assert!(held_up.contains("`swarmd user add alice --role reader`"), "{text}");
        assert!(held_up.contains("`swarmd user rm alice`") && held_up.lines().count() == 1, "{text}");
        standing.rotating = false;
        assert!(tell(&standing).starts_with("CA pin\none CA\n") && !tell(&standing).contains("hold up"));
    }

    #[test]
    fn who_is_locked_out_is_named_with_what_to_do() {
        let member = |kind: &str, name: &str| MemberLine {
            kind: kind.into(),
            name: name.into(),
            role: if kind == "user" { "admin".into() } else { String::new() },
            hostname: "pi".into(),
            ..MemberLine::default()
        };
        let text = outside(&[member("agent", "ab"), member("user", "alice")]);
        assert!(text.contains("agent ab (pi): `swarmd join-token agent`"), "{text}");
        assert!(text.contains("`swarmd user add alice --role admin`"), "{text}");
        assert_eq!(outside(&[]), "");
    }
}
