//! `swarmd join --token`: makes this machine a member of the cluster.
//!
//! In this order, so that whatever fails leaves things as they were: a key (it never leaves this machine, and waits on
//! disk for the next attempt), the certificate from the manager, the files, the drop-in for the configuration, the service.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

pub use crate::client::join_plan::Plan;
use crate::client::joining::Joining;
use crate::client::{Answer, drop_in};
use crate::clock;
use crate::discovery::lan::interfaces;
use crate::docker::endpoint::Endpoint;
use crate::enroll::ask;
use crate::enroll::talk::{Membership, Request};
use crate::error::{Error, Kind, Result};
use crate::systemd::account::{self, ACCOUNT};
use crate::systemd::host::Host;
use crate::tls::pem;
use crate::tls::pki::authority::Authority;
use crate::tls::pki::own::{self, Machine};
use crate::tls::pki::pin::{Joins, Pin};
use crate::tls::pki::{Files, members, request};

/// A clock that differs by more is worth a word, in seconds.
const SKEW: i64 = 300;

/// Does it. The answer says what was done.
///
/// # Errors
/// No connection, another CA than the token's, a token that opens nothing, files that cannot be written.
pub async fn join(plan: &Plan) -> Result<Answer> {
    let files = Files::below(&plan.config.pki_dir());
    let owner = Owner::of(&plan.config.state_dir)?;
    let own_ca = is_replaceable(&files)?;
    writable(&plan.config.state_dir)?;
    let joining = Joining::begin(&plan.config.state_dir, plan.token.joins)?;
    let Joining { key, again, .. } = &joining;
    let addresses = interfaces::here(&[]).iter().map(|address| address.ip.to_string()).collect();
    let machine = Machine { hostname: Host::read().name, addresses };
    let names = match plan.token.joins {
        Joins::Manager => own::names(&plan.config, &machine),
        Joins::Agent => Vec::new(),
    };
    let (csr, pin) = (request::for_key(key)?, request::pin_of(key)?);
    let former = match own_ca {
        false => former(&files, &pin),
        true => None,
    };
    // The answer to the last attempt may have got lost: then this key has a certificate.
    let itself = || again.then(|| request::for_successor(key, &pin).ok()).flatten();
    let former = former.or_else(itself).unwrap_or_default();
    let wanted = Request { csr, hostname: machine.hostname, names, former };
    let asked = ask::join(&plan.manager, &plan.token, &wanted).await;
    let membership = asked.inspect_err(|error| joining.failed(error))?;
    check(&membership, key, &plan.token.pin)?;
    is_plain(&membership)?;
    if own_ca {
        set_aside(&files)?;
    }
    files.make_directory()?;
    Files::write(&files.key(), key)?;
    members::replace(&files, &membership.certificate, &membership.bundle)?;
    Joining::end(&plan.config.state_dir);
    owner.take(&plan.config.state_dir, &files)?;
    let drop_in = drop_in::write(plan, &membership, owner.gid)?;
    let started = if plan.no_start { Started::No } else { start() };
    Ok(Answer {
        good: !matches!(started, Started::Failed(_)),
        text: tell(plan, &files, &drop_in, &membership, &started),
    })
}

/// That this machine is the member that it was, if it was one: else its address would be another's.
fn former(files: &Files, successor: &Pin) -> Option<String> {
    let key = Files::read(&files.key()).ok().flatten();
    key.and_then(|key| request::for_successor(&key, successor).ok())
}

/// Whether there is a CA of this machine's own that nobody else uses, as a first start leaves it.
fn is_replaceable(files: &Files) -> Result<bool> {
    if !Authority::is_here(files) {
        return Ok(false);
    }
    let authority = Authority::open(files, std::time::Duration::ZERO, clock::unix_seconds())?;
    let others = authority.issued().iter().any(|record| record.kind != "manager");
    match others {
        false => Ok(true),
        true => Err(Error::us(
            Kind::Conflict,
            format!(
                "this machine is the first manager of a cluster: its CA is in {}",
                files.directory().display()
            ),
        )
        .advise("to leave that cluster for good, stop swarmd and move that directory away")),
    }
}

fn set_aside(files: &Files) -> Result<()> {
    let aside = files.directory().with_extension(format!("before-{}", clock::unix_seconds()));
    fs::rename(files.directory(), &aside).map_err(|e| unwritable(files.directory(), &e))
}

fn writable(directory: &Path) -> Result<()> {
    let made = fs::create_dir_all(directory);
    let probe = directory.join(".joining");
    // Root does this in a directory of somebody else, who may have put a link there: it is removed, never followed.
    let probed = || match fs::remove_file(&probe) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => fs::File::create_new(&probe).map(drop),
    };
    made.and_then(|()| probed()).and_then(|()| fs::remove_file(&probe)).map_err(|e| unwritable(directory, &e))
}

pub(super) fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    let kind = if error.kind() == std::io::ErrorKind::PermissionDenied {
        Kind::Permission
    } else {
        Kind::Unavailable
    };
    Error::us(kind, format!("cannot write {}: {error}", path.display()))
        .advise("run it as root: sudo swarmd join ...")
}

/// The manager's word is good: the pin said so. That it answered what was asked is seen here.
fn check(membership: &Membership, key: &str, pin: &Pin) -> Result<()> {
    let strange =
        |why: &str| Error::store(Kind::Protocol, format!("the manager's answer makes no sense: {why}"));
    let read = |text: &str| pem::certificates_in(text).map_err(|e| strange(&e.to_string()));
    let (chain, bundle) = (read(&membership.certificate)?, read(&membership.bundle)?);
    if chain.first().and_then(Pin::of) != Some(request::pin_of(key)?) {
        return Err(strange("its certificate is not for our key"));
    }
    match bundle.iter().any(|ca| Pin::of(ca).as_ref() == Some(pin)) {
        true => Ok(()),
        false => Err(strange("the CA of the token is not among those to trust")),
    }
}

/// Whether what the manager says can stand in the configuration as it is.
fn is_plain(membership: &Membership) -> Result<()> {
    let odd = |c: char| matches!(c, '"' | '\\') || c.is_control();
    let texts =
        membership.hosts.iter().chain(&membership.managers).chain([&membership.discovery, &membership.name]);
    match texts.into_iter().find(|text| text.contains(odd)) {
        None => Ok(()),
        Some(text) => {
            let text = format!("the manager's answer makes no sense: {text:?} in it");
            Err(Error::store(Kind::Protocol, text).advise("see to discovery.url at the manager"))
        }
    }
}

/// Whose files these are to be.
struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// That of the state directory, else the service's account, else ourselves.
    fn of(state_dir: &Path) -> Result<Owner> {
        if let Ok(meta) = fs::metadata(state_dir) {
            return Ok(Owner { uid: meta.uid(), gid: meta.gid() });
        }
        let user = nix::unistd::User::from_name(ACCOUNT)
            .map_err(|e| Error::us(Kind::Internal, format!("cannot look up the user {ACCOUNT}: {e}")))?;
        let own = || Owner { uid: nix::unistd::geteuid().as_raw(), gid: nix::unistd::getegid().as_raw() };
        Ok(user.map_or_else(own, |user| Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
    }

    fn take(&self, state_dir: &Path, files: &Files) -> Result<()> {
        let own = [files.key(), files.cert(), files.bundle()];
        for path in own.iter().map(PathBuf::as_path).chain([files.directory(), state_dir]) {
            // Not what a link leads to.
            lchown(path, Some(self.uid), Some(self.gid)).map_err(|e| unwritable(path, &e))?;
        }
        Ok(())
    }
}

/// What became of the service.
enum Started {
    Yes,
    No,
    /// There is no systemd here.
    Nobody,
    Failed(String),
}

/// Has systemd start the service, now and at each boot.
fn start() -> Started {
    if !Path::new("/run/systemd/system").is_dir() {
        return Started::Nobody;
    }
    for arguments in [["enable", "swarmd.service"], ["restart", "swarmd.service"]] {
        match std::process::Command::new("systemctl").args(arguments).output() {
            Ok(done) if done.status.success() => {}
            Ok(done) => return Started::Failed(String::from_utf8_lossy(&done.stderr).trim().to_string()),
            Err(e) => return Started::Failed(e.to_string()),
        }
    }
    Started::Yes
}

/// What keeps the agent from the engine that it is to serve.
fn no_docker(plan: &Plan) -> Option<account::Barred> {
    match (plan.token.joins, Endpoint::parse(&plan.config.agent.engine)) {
        (Joins::Agent, Ok(Endpoint::Unix(socket))) => account::barred(&socket),
        _ => None,
    }
}

fn tell(plan: &Plan, files: &Files, drop_in: &Path, membership: &Membership, started: &Started) -> String {
    let Membership { name, hosts, expires, now, .. } = membership;
    let mut text = format!(
        "Joined the cluster as {} {name}.\n  certificate  {}, for {}, good until {}; renewed by itself\n  \
         settings     {}\n",
        plan.token.joins.word(),
        files.cert().display(),
        hosts.join(" and "),
        clock::rfc3339(*expires),
        drop_in.display(),
    );
    text += &match started {
        Started::Yes => "  service      swarmd runs, now and after each boot\n".to_string(),
        Started::No | Started::Nobody => {
            "  service      not started; with systemd: systemctl enable --now swarmd, else: swarmd run\n"
                .to_string()
        }
        Started::Failed(why) => format!(
            "  service      systemd could not start it: {why}\n               see: journalctl -u swarmd, then: systemctl \
             restart swarmd\n"
        ),
    };
    if let Some(barred) = no_docker(plan) {
        text += &format!(
            "  docker       {} may not use this machine's Docker yet, that is for you to say:\n               sudo {} && sudo \
             systemctl restart swarmd\n",
            barred.who,
            barred.cure()
        );
    }
    let behind = now - clock::unix_seconds();
    if behind.abs() > SKEW {
        let side = if behind > 0 { "behind" } else { "ahead of" };
        text += &format!(
            "The clock of this machine is {} minutes {side} the manager's. Until it is set, certificates are judged by the \
             time at\nwhich this one was issued.\n",
            behind.abs() / 60
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let (state, other) = (home.path().join("state"), home.path().join("other"));
        fs::create_dir(&state).unwrap();
        fs::write(&other, "kept").unwrap();
        for target in [&other, &home.path().join("new")] {
            std::os::unix::fs::symlink(target, state.join(".joining")).unwrap();
            writable(&state).unwrap();
        }
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
        assert!(!home.path().join("new").exists());
        assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
    }

    #[test]
    fn what_would_be_more_than_a_text_is_refused() {
        let saying = |discovery: &str| Membership { discovery: discovery.into(), ..Membership::default() };
        is_plain(&saying("etcd://s:1,t:1/p")).unwrap();
        for text in ["x\"\n[manager]", "a\nb", "a\\", "\u{7f}"] {
            assert_eq!(is_plain(&saying(text)).unwrap_err().kind, Kind::Protocol, "{text:?}");
        }
        let hosts = vec!["h\"".to_string()];
        assert!(is_plain(&Membership { hosts, ..Membership::default() }).is_err());
    }

    #[test]
    fn an_answer_for_another_key_or_ca_is_none() {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&key).unwrap();
        let pin = Pin::of(cert.der()).unwrap();
        let membership = Membership { certificate: cert.pem(), bundle: cert.pem(), ..Membership::default() };
        check(&membership, &key.serialize_pem(), &pin).unwrap();
        let other = request::new_key().unwrap();
        assert!(check(&membership, &other, &pin).unwrap_err().message.contains("not for our key"));
        let strange = Pin::of_key(b"other");
        assert!(
            check(&membership, &key.serialize_pem(), &strange)
                .unwrap_err()
                .message
                .contains("CA of the token")
        );
    }
}
