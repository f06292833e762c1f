//! Who makes a call, as far as that decides what may be done.

use crate::tls::identity::{Identity, Role, Who};

/// What somebody's rights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: no certificate where one is demanded.
    Stranger,
    /// A certificate of an agent.
    Agent,
    /// A certificate of a user.
    User(Role),
    /// Another manager.
    Manager,
    /// The way in: a unix socket with its permissions, a port without client certificates, or certificates that are
    /// made by hand and name no role. Whoever gets in there may do everything, as ever.
    Trusted,
}

/// Who makes a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What the rights come from.
    pub standing: Standing,
    /// The name in the certificate; empty without one.
    pub name: String,
    /// The certificate's serial number, if there is a certificate.
    pub serial: Option<String>,
}

impl Caller {
    /// Somebody who was let in without a certificate.
    pub fn trusted() -> Caller {
        Caller { standing: Standing::Trusted, name: String::new(), serial: None }
    }

    /// Somebody who should have shown a certificate.
    pub fn stranger() -> Caller {
        Caller { standing: Standing::Stranger, name: String::new(), serial: None }
    }

    /// The holder of a certificate of our CA. `by_hand`: certificates that name no role are made by hand here, and
    /// give all rights; else they are none of ours.
    pub fn of(identity: &Identity, by_hand: bool) -> Caller {
        let standing = match identity.kind {
            Who::Manager => Standing::Manager,
            Who::Agent => Standing::Agent,
            Who::User(role) => Standing::User(role),
            Who::Foreign if by_hand => Standing::Trusted,
            Who::Foreign | Who::Nobody => Standing::Stranger,
        };
        Caller { standing, name: identity.name.clone(), serial: Some(identity.serial.clone()) }
    }

    /// Whether there is nothing to look at: nobody else has more rights.
    pub fn may_everything(&self) -> bool {
        matches!(self.standing, Standing::Manager | Standing::Trusted | Standing::User(Role::Admin))
    }

    /// Whether it may say for whom it makes a call. Only managers have calls of others to pass on; and where nobody
    /// has a role, managers cannot be told from others, who lose nothing by saying that they are somebody else.
    pub fn speaks_for_others(&self) -> bool {
        matches!(self.standing, Standing::Manager | Standing::Trusted)
    }

    /// The word for its rights, in records.
    pub fn role(&self) -> &'static str {
        match self.standing {
            Standing::Stranger => "stranger",
            Standing::Agent => "agent",
            Standing::User(role) => role.word(),
            Standing::Manager => "manager",
            Standing::Trusted => "trusted",
        }
    }

    /// As one manager tells another: `ROLE SERIAL NAME`, `-` for no serial. `None` for who may do everything
    /// without a role, as the manager that passes the call on.
    pub fn passed_on(&self) -> Option<String> {
        let role = match self.standing {
            Standing::User(_) | Standing::Agent => self.role(),
            Standing::Stranger => return Some("stranger - -".to_string()),
            Standing::Manager | Standing::Trusted => return None,
        };
        let safe = self.name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        let name = if safe { self.name.as_str() } else { "?" };
        Some(format!("{role} {} {name}", self.serial.as_deref().unwrap_or("-")))
    }

    /// Reads that. What cannot be read is a stranger: no rights by mistake.
    pub fn from_passed_on(text: &str) -> Caller {
        let mut parts = text.splitn(3, ' ');
        let (role, serial, name) = (parts.next(), parts.next(), parts.next());
        let standing = match role {
            Some("agent") => Some(Standing::Agent),
            role => role.and_then(Role::parse).map(Standing::User),
        };
        match (standing, serial) {
            (Some(standing), Some(serial)) => Caller {
                standing,
                name: name.unwrap_or_default().to_string(),
                serial: Some(serial.to_string()).filter(|s| s != "-"),
            },
            _ => Caller::stranger(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(kind: Who) -> Identity {
        Identity { kind, name: "alice b".into(), serial: "0a".into() }
    }

    #[test]
    fn certificates_give_the_rights_they_name() {
        for (kind, by_hand, standing) in [
            (Who::Manager, false, Standing::Manager),
            (Who::Agent, true, Standing::Agent),
            (Who::User(Role::Reader), true, Standing::User(Role::Reader)),
            (Who::Foreign, true, Standing::Trusted),
            (Who::Foreign, false, Standing::Stranger),
            (Who::Nobody, true, Standing::Stranger),
            (Who::Nobody, false, Standing::Stranger),
        ] {
            assert_eq!(Caller::of(&identity(kind), by_hand).standing, standing, "{kind:?}");
        }
    }

    #[test]
    fn only_managers_and_who_may_everything_anyway_speak_for_others() {
        for standing in [Standing::Stranger, Standing::Agent, Standing::User(Role::Admin)] {
            assert!(!Caller { standing, ..Caller::trusted() }.speaks_for_others());
        }
        assert!(Caller::of(&identity(Who::Manager), false).speaks_for_others());
    }

    #[test]
    fn a_user_is_the_same_behind_another_manager() {
        let alice = Caller::of(&identity(Who::User(Role::Deployer)), false);
        assert_eq!(Caller::from_passed_on(&alice.passed_on().unwrap()), alice);
        let agent = Caller::of(&identity(Who::Agent), false);
        assert_eq!(Caller::from_passed_on(&agent.passed_on().unwrap()), agent);
        for nobody in [Caller::stranger(), Caller::of(&identity(Who::Nobody), true)] {
            assert_eq!(Caller::from_passed_on(&nobody.passed_on().unwrap()), Caller::stranger());
        }
        assert_eq!(Caller::trusted().passed_on(), None);
        for broken in ["", "admin", "root - x", "Admin - x", "trusted - x", "manager 1 x"] {
            assert_eq!(Caller::from_passed_on(broken), Caller::stranger(), "{broken}");
        }
    }
}
