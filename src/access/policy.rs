//! Classes of endpoints, and who may use them. The class of each endpoint stands in the table of routes.

use crate::access::caller::{Caller, Standing};
use crate::error::{Error, Kind, Result};
use crate::tls::identity::Role;

/// What an endpoint is, by what it takes to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The registry of tokens, and joining: what the token opens is decided there.
    Token,
    /// Between members of the cluster: agents and managers.
    Member,
    /// Looks at the cluster and changes nothing. What it shows are facts about objects, with environment variables and
    /// labels, but nothing that is inside of images, containers and volumes.
    Look,
    /// What containers print. Readers only where the configuration says so: programs print secrets.
    Logs,
    /// Starts and stops what is there.
    Operate,
    /// Gets into a container: runs commands in it, types into it, reads and writes its files. It gives what the
    /// container has, so for all but admins that must be nothing of the host (`api::admit` looks).
    Enter,
    /// Makes and removes objects. What the new ones may have of the host is decided by their bodies (`forms`).
    Deploy,
    /// BuildKit's own stream, which cannot be looked into.
    Buildkit,
    /// All else.
    Admin,
}

impl Class {
    /// Whether it is answered to who shows no certificate.
    pub fn takes_strangers(self) -> bool {
        self == Class::Token
    }
}

/// What the configuration leaves open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Readers see logs.
    pub reader_logs: bool,
    /// Deployers use BuildKit's stream.
    pub buildkit: bool,
}

/// Whether a caller may use an endpoint of this class. `None`: there is no such endpoint.
///
/// # Errors
/// 403, with what would do. For strangers it is the same whether or not there is such an endpoint.
pub fn decide(caller: &Caller, class: Option<Class>, options: Options) -> Result<()> {
    let role = match (caller.standing, class) {
        (_, Some(Class::Token)) => return Ok(()),
        (Standing::Manager | Standing::Trusted | Standing::User(Role::Admin), _) => return Ok(()),
        (Standing::Agent, Some(Class::Member)) => return Ok(()),
        (Standing::Stranger, _) => return Err(no_certificate()),
        (Standing::Agent, _) => {
            return Err(forbidden("the certificate of an agent opens no Docker API")
                .advise("use the certificate of a user: `swarmd user add` makes one"));
        }
        (Standing::User(role), Some(class)) if allowed(role, class, options) => return Ok(()),
        (Standing::User(role), _) => role,
    };
    let Some(class) = class else {
        return Err(forbidden(format!("the role {} may use no endpoints that are not known", role.word())));
    };
    let error = forbidden(format!("the role {} may not {}", role.word(), deed(class)));
    Err(match (class, role) {
        (Class::Buildkit, Role::Deployer) => error.advise(
            "build with DOCKER_BUILDKIT=0, or have the admin put \"buildkit\" into [access] deployer-allow",
        ),
        (Class::Logs, Role::Reader) => error.advise("the admin can set [access] reader-logs = true"),
        _ => error.advise(format!("it takes the role {}", least(class).word())),
    })
}

fn allowed(role: Role, class: Class, options: Options) -> bool {
    match class {
        Class::Logs if role == Role::Reader => options.reader_logs,
        Class::Buildkit if role == Role::Deployer => options.buildkit,
        class => role >= least(class),
    }
}

/// The least role that may use a class, whatever the configuration says.
fn least(class: Class) -> Role {
    match class {
        Class::Token | Class::Look => Role::Reader,
        Class::Logs | Class::Operate | Class::Enter => Role::Operator,
        Class::Deploy => Role::Deployer,
        Class::Buildkit | Class::Member | Class::Admin => Role::Admin,
    }
}

fn deed(class: Class) -> &'static str {
    match class {
        Class::Token | Class::Look => "look",
        Class::Logs => "see what containers print",
        Class::Operate => "start and stop containers",
        Class::Enter => "get into containers",
        Class::Deploy => "make and remove objects",
        Class::Buildkit => "build with BuildKit",
        Class::Member => "speak for a member of the cluster",
        Class::Admin => "do this",
    }
}

/// 403
pub fn forbidden(text: impl Into<String>) -> Error {
    Error::client(Kind::Status(403), text)
}

/// To a stranger, whether or not there is such a page.
fn no_certificate() -> Error {
    forbidden("a client certificate is needed here")
        .advise("use `docker --tlsverify` with --tlscacert, --tlscert and --tlskey, or set DOCKER_CERT_PATH")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(standing: Standing, class: Option<Class>, options: Options) -> bool {
        decide(&Caller { standing, ..Caller::trusted() }, class, options).is_ok()
    }

    #[test]
    fn what_nobody_knows_is_the_admins() {
        for role in [Role::Reader, Role::Operator, Role::Deployer] {
            assert!(!may(Standing::User(role), None, Options { reader_logs: true, buildkit: true }));
        }
        assert!(may(Standing::User(Role::Admin), None, Options::default()));
        assert!(!may(Standing::Stranger, None, Options::default()));
        assert!(!may(Standing::Agent, None, Options::default()));
    }

    #[test]
    fn options_open_one_class_for_one_role() {
        let none = Options::default();
        let logs = Options { reader_logs: true, ..none };
        let reader = Standing::User(Role::Reader);
        assert!(!may(reader, Some(Class::Logs), none) && may(reader, Some(Class::Logs), logs));
        assert!(!may(reader, Some(Class::Enter), logs), "the stream of an attach goes both ways");
        let build = Options { buildkit: true, ..none };
        let tunnel = |role, options| may(Standing::User(role), Some(Class::Buildkit), options);
        assert!(!tunnel(Role::Deployer, none) && tunnel(Role::Deployer, build));
        assert!(!tunnel(Role::Operator, build));
    }

    #[test]
    fn strangers_and_agents_see_no_docker_api() {
        for class in [Class::Look, Class::Logs, Class::Operate, Class::Enter, Class::Deploy, Class::Admin] {
            assert!(!may(Standing::Stranger, Some(class), Options::default()));
            assert!(!may(Standing::Agent, Some(class), Options::default()));
        }
        assert!(may(Standing::Agent, Some(Class::Member), Options::default()));
        assert!(!may(Standing::User(Role::Deployer), Some(Class::Member), Options::default()));
    }
}
