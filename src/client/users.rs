//! `swarmd user`: certificates for people and programs, each with a role.
//!
//! The key is made here, and stays here: the manager gets a request for a certificate.

use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::client::{Answer, Manager, pretty, table};
use crate::clock;
use crate::enroll::talk::{MemberLine, NewUser, Revoke, Revoked, Standing, UserCertificate};
use crate::error::{Error, Kind, Result};
use crate::tls::identity::Role;
use crate::tls::pki::{Files, request};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Users {
    /// `life` in seconds; `directory` gets the files.
    Add {
        name: String,
        role: Role,
        life: u64,
        directory: PathBuf,
    },
    List,
    Remove(String),
}

pub(super) async fn ask(manager: &Manager, wanted: &Users, json: bool) -> Result<Answer> {
    match wanted {
        Users::Add { name, role, life, directory } => {
            // Made before the certificate is: one without a place to go would be of no use.
            let files = Files::below(directory);
            let fresh = !directory.exists();
            make(directory)?;
            let key = request::new_key()?;
            let csr = request::for_key(&key)?;
            let new = NewUser { csr, name: name.clone(), role: role.word().into(), life: *life };
            let made: UserCertificate = manager.post("users", &new).await?;
            for (path, text) in
                [(files.key(), &key), (files.cert(), &made.certificate), (files.bundle(), &made.bundle)]
            {
                Files::write(&path, text)?;
                give(&path)?;
            }
            if fresh {
                give(directory)?;
            }
            let directory = std::fs::canonicalize(directory).map_err(|e| {
                Error::us(Kind::Unavailable, format!("cannot find {}: {e}", directory.display()))
            })?;
            if json {
                pretty(&Made::of(&made, &directory))
            } else {
                Ok(Answer::good(added(&made, *role, &directory)))
            }
        }
        Users::List => {
            let standing: Standing = manager.get("pki").await?;
            let users: Vec<MemberLine> = standing.members.into_iter().filter(|m| m.kind == "user").collect();
            if json { pretty(&users) } else { Ok(Answer::good(listed(&users))) }
        }
        Users::Remove(name) => {
            let revoke = Revoke { kind: "user".into(), name: name.clone(), ..Revoke::default() };
            let done: Revoked = manager.post("pki/revoke", &revoke).await?;
            let text = match done.certificates {
                0 => format!("there is no user {name}\n"),
                _ => {
                    format!("{name} is out: calls are refused from now on, open streams end within seconds\n")
                }
            };
            if json { pretty(&done) } else { Ok(Answer { text, good: done.certificates > 0 }) }
        }
    }
}

/// What was there before keeps its mode: `--out .` is no reason to close somebody's home. The key is 0600 anywhere.
fn make(directory: &Path) -> Result<()> {
    match directory.is_dir() {
        true => Ok(()),
        false => Files::below(directory).make_directory(),
    }
}

/// What `sudo` makes belongs to whoever said it: these files are for people, whose docker has to read them.
fn give(path: &Path) -> Result<()> {
    let said = |name: &str| std::env::var(name).ok().and_then(|id| id.parse().ok());
    let (true, Some(user), Some(group)) = (Uid::effective().is_root(), said("SUDO_UID"), said("SUDO_GID"))
    else {
        return Ok(());
    };
    // Not through a link that somebody has put in its place.
    lchown(path, Some(user), Some(group))
        .map_err(|e| Error::us(Kind::Unavailable, format!("cannot give {} away: {e}", path.display())))
}

/// What was made, for programs.
#[derive(serde::Serialize)]
struct Made {
    name: String,
    expires: i64,
    directory: String,
    host: String,
}

impl Made {
    fn of(made: &UserCertificate, directory: &Path) -> Made {
        let (name, expires) = (made.name.clone(), made.expires);
        Made {
            name,
            expires,
            directory: directory.display().to_string(),
            host: format!("tcp://{}", made.manager),
        }
    }
}

fn added(made: &UserCertificate, role: Role, directory: &Path) -> String {
    let UserCertificate { name, expires, manager, .. } = made;
    let (dir, until, role) = (directory.display(), clock::rfc3339(*expires), role.word());
    format!(
        "{name} ({role}) has a certificate until {until}. The files are in {dir}; whoever has key.pem is {name}.\n\n\
         With a context:\n\n    \
         docker context create {name} --docker \
         \"host=tcp://{manager},ca={dir}/ca.pem,cert={dir}/cert.pem,key={dir}/key.pem\"\n    \
         docker --context {name} ps\n\n\
         Or for one shell:\n\n    \
         export DOCKER_HOST=tcp://{manager} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={dir}\n\n\
         `swarmd user rm {name}` takes it back.\n"
    )
}

fn listed(users: &[MemberLine]) -> String {
    let row = |user: &MemberLine| {
        vec![user.name.clone(), user.role.clone(), clock::rfc3339(user.expires), user.serial.clone()]
    };
    let rows: Vec<_> = users.iter().map(row).collect();
    table::table(0, &["USER", "ROLE", "GOOD UNTIL", "SERIAL"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_there_keeps_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let fresh = home.path().join("fresh");
        make(home.path()).unwrap();
        make(&fresh).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(home.path()), mode(&fresh)), (0o755, 0o700));
    }

    #[test]
    fn the_lines_are_ones_to_paste() {
        let made = UserCertificate {
            name: "alice".into(),
            expires: 86_400,
            manager: "boss:3376".into(),
            ..UserCertificate::default()
        };
        let text = added(&made, Role::Deployer, Path::new("/home/a/alice-cert"));
        assert_eq!(text, include_str!("golden/user-add.txt"));
    }
}
