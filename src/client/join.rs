//! `swarmd join --token`: makes this machine a member of the cluster.
//!
//! In this order, so that whatever fails leaves things as they were: a key (it never leaves this machine), the
//! certificate from the manager, the files, the drop-in for the configuration, the service.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};

use crate::client::Answer;
pub use crate::client::join_plan::Plan;
use crate::clock;
use crate::config::Listen;
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

/// The drop-in beside the configuration file.
const DROP_IN: &str = "config.d/50-joined.toml";
/// Where agents serve their engine to managers.
const FRONT: u16 = 2376;
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
    let key = request::new_key()?;
    let addresses = interfaces::here(&[]).iter().map(|address| address.ip.to_string()).collect();
    let machine = Machine { hostname: Host::read().name, addresses };
    let names = match plan.token.joins {
        Joins::Manager => own::names(&plan.config, &machine),
        Joins::Agent => Vec::new(),
    };
    let former = if own_ca { String::new() } else { former(&files) };
    let wanted = Request { csr: request::for_key(&key)?, hostname: machine.hostname, names, former };
    let membership = ask::join(&plan.manager, &plan.token, &wanted).await?;
    check(&membership, &key, &plan.token.pin)?;
    is_plain(&membership)?;
    if own_ca {
        set_aside(&files)?;
    }
    files.make_directory()?;
    Files::write(&files.key(), &key)?;
    members::replace(&files, &membership.certificate, &membership.bundle)?;
    owner.take(&plan.config.state_dir, &files)?;
    let drop_in = plan.file.with_file_name(DROP_IN);
    write_drop_in(&drop_in, &text(plan, &membership), &owner)?;
    let started = if plan.no_start { Started::No } else { start() };
    Ok(Answer {
        good: !matches!(started, Started::Failed(_)),
        text: tell(plan, &files, &drop_in, &membership, &started),
    })
}

/// That this machine is the member that it was, if it was one: else its address would be another's.
fn former(files: &Files) -> String {
    let key = Files::read(&files.key()).ok().flatten();
    key.and_then(|key| request::for_key(&key).ok()).unwrap_or_default()
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

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
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
    let texts = membership.hosts.iter().chain([&membership.discovery, &membership.name]);
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

/// What the daemon must know to be a member.
fn text(plan: &Plan, membership: &Membership) -> String {
    let manager = &plan.manager;
    let discovery = match membership.discovery.strip_prefix("token://") {
        Some(token) if !token.contains('/') => format!("token://{manager}/{token}"),
        _ => membership.discovery.clone(),
    };
    // Whoever registers with a manager sees the way there; a store is anywhere, so there it is the address that the
    // manager saw.
    let own = match discovery.starts_with("token://") {
        true => "auto",
        false => membership.hosts.first().map_or("THIS-MACHINE", String::as_str),
    };
    let own = if own.contains(':') { format!("[{own}]") } else { own.to_string() };
    // Said in so many words: whoever advertises something and says no more has a Docker that listens itself.
    let (front, port) = match &plan.config.agent.front {
        Some(front @ Listen::Tcp { port, .. }) => (front.to_string(), *port),
        _ => (format!(":{FRONT}"), FRONT),
    };
    let (role, agent) = match plan.token.joins {
        Joins::Agent => ("agent", format!("[agent]\nfront = \"{front}\"\nadvertise = \"{own}:{port}\"\n\n")),
        Joins::Manager => ("manager", String::new()),
    };
    format!(
        "# Written by `swarmd join`, which replaces it when this machine joins again.\nrole = \"{role}\"\n\n\
         [discovery]\nurl = \"{discovery}\"\n\n{agent}[pki]\nenabled = true\nmanagers = [\"{manager}\"]\n"
    )
}

/// It holds the token of the list: for root and the service only.
fn write_drop_in(path: &Path, text: &str, owner: &Owner) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let fresh = path.with_extension("new");
    let written = fs::create_dir_all(folder).and_then(|()| {
        let _ = fs::remove_file(&fresh);
        fs::write(&fresh, "")?;
        fs::set_permissions(&fresh, PermissionsExt::from_mode(0o640))?;
        fs::write(&fresh, text)?;
        chown(&fresh, None, Some(owner.gid))?;
        fs::rename(&fresh, path)
    });
    written.map_err(|e| unwritable(path, &e))
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
    use crate::config::Config;
    use crate::tls::pki::pin::JoinToken;

    fn plan(role: Joins) -> Plan {
        let token = JoinToken { joins: role, pin: Pin::of_key(b"k"), id: "i".into(), secret: "s".into() };
        Plan {
            token,
            manager: Endpoint::parse("boss:3376").unwrap(),
            config: Config::default(),
            file: "/etc/swarmd/config.toml".into(),
            no_start: true,
        }
    }

    #[test]
    fn the_drop_in_is_a_configuration_that_runs() {
        for (role, discovery, url) in [
            (Joins::Agent, "token://T", "token://boss:3376/T"),
            (Joins::Agent, "etcd://s:1/p", "etcd://s:1/p"),
            (Joins::Manager, "etcd://s:1/p", "etcd://s:1/p"),
        ] {
            let hosts = vec!["fd00::7".to_string()];
            let membership = Membership { discovery: discovery.into(), hosts, ..Membership::default() };
            let home = tempfile::tempdir().unwrap();
            let file = home.path().join("config.toml");
            // As the package installs it.
            fs::write(&file, include_str!("../../etc/config.toml")).unwrap();
            let owner = Owner::of(home.path()).unwrap();
            let drop_in = file.with_file_name(DROP_IN);
            write_drop_in(&drop_in, &text(&plan(role), &membership), &owner).unwrap();
            assert_eq!(fs::metadata(&drop_in).unwrap().permissions().mode() & 0o777, 0o640);
            let mut sources = crate::config::load::Sources::new(crate::config::check::Purpose::Run, "swarmd");
            sources.file = Some((file, true));
            let loaded = sources.load().unwrap();
            assert_eq!(loaded.config.discovery.url.as_deref(), Some(url));
            assert_eq!(loaded.config.pki.managers, ["boss:3376"]);
            assert!(loaded.config.has_pki());
            assert_eq!(loaded.config.registers(), role == Joins::Agent);
            let front = (role == Joins::Agent).then(|| Listen::Tcp { host: String::new(), port: FRONT });
            assert_eq!(loaded.config.agent.front, front, "the agent serves Docker, which does not listen");
            // Once more, on a machine that has joined.
            let again = text(&Plan { config: loaded.config, ..plan(role) }, &membership);
            assert_eq!(again.contains("front"), role == Joins::Agent);
        }
    }

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
