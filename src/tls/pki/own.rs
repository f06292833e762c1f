//! What a manager does about its certificate when it starts, and the one that makes its own meanwhile.
//!
//! The first manager makes the CA. One that has joined has a certificate already; without one there is nothing to start
//! with, which is said with the cure.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::config::{Config, Listen};
use crate::error::{Error, Kind, Result};
use crate::tls::pki::authority::{Applicant, Authority};
use crate::tls::pki::members::{self, Own};
use crate::tls::pki::{Files, damaged, hex, policy, random, request};

/// The machine that a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// What it calls itself.
    pub hostname: String,
    /// Its addresses.
    pub addresses: Vec<String>,
}

/// No honest clock says less: this program is younger.
const NEVER_BEFORE: i64 = 1_735_689_600;

/// The time, as far as it is known: never before our own certificate was issued. A machine without a battery clock
/// starts in the past.
///
/// # Errors
/// A certificate that cannot be read.
pub fn now(files: &Files) -> Result<i64> {
    let issued = Own::read(files)?.map_or(0, |own| own.issued);
    Ok(clock::unix_seconds().max(issued))
}

/// Sees to it that there are a CA and a certificate to start with. The CA, if it is here.
///
/// # Errors
/// A machine that has not joined yet, files that cannot be read, certificates that have expired.
pub fn prepare(config: &Config, machine: &Machine) -> Result<Option<Authority>> {
    let files = Files::below(&config.pki_dir());
    let (clock, now) = (clock::unix_seconds(), now(&files)?);
    if now > clock {
        let (here, there) = (clock::rfc3339(clock), clock::rfc3339(now));
        tracing::warn!(
            "the clock of this machine is behind ({here}): certificates are judged by the time of our own ({there}) until \
             it is set"
        );
    }
    let life = config.pki.lifetime;
    let authority = if Authority::is_here(&files) {
        Some(Authority::open(&files, life, now)?)
    } else if files.cert().exists() {
        None
    } else if config.role.manages() && config.pki.managers.is_empty() {
        if now < NEVER_BEFORE {
            let text = format!("the clock of this machine says {}: no CA is made by it", clock::rfc3339(now));
            return Err(
                Error::us(Kind::Unavailable, text).advise("set it, or wait for the time from the network")
            );
        }
        let authority = Authority::create(&files, life, now)?;
        tracing::info!("made the cluster's CA in {}", files.directory().display());
        Some(authority)
    } else {
        return Err(not_joined(config));
    };
    match &authority {
        Some(authority) => {
            authority.share(&config.pki.shared_addresses);
            keep_own(authority, config, machine, false, now)?;
        }
        None => is_valid(&files, now)?,
    }
    Ok(authority)
}

/// Issues this manager's own certificate if there is none, if it is for other names, if another CA signed it, or if
/// `due`. Whether it did.
///
/// # Errors
/// Those of the disk.
pub fn keep_own(
    authority: &Authority,
    config: &Config,
    machine: &Machine,
    due: bool,
    now: i64,
) -> Result<bool> {
    let files = authority.files();
    let own = Own::read(files)?;
    let names = names(config, machine);
    let fits = |own: &Own| {
        names.iter().all(|name| own.is_for(name))
            && own.ca.as_ref() == Some(&authority.pin())
            && own.expires > now
    };
    members::trust(files, &authority.bundle())?;
    if !due && own.as_ref().is_some_and(fits) {
        return Ok(false);
    }
    let key = members::key(files)?;
    let applicant = Applicant {
        request: &request::for_key(&key)?,
        peer: None,
        hostname: &machine.hostname,
        names: &names,
        former: None,
    };
    let before = own.as_ref().map(|own| own.identity.name.as_str());
    let issued = authority.issue_own(&applicant, before, now)?;
    members::replace(files, &issued.chain, &issued.bundle)?;
    tracing::info!("this manager has a new certificate for {}", issued.hosts.join(", "));
    Ok(true)
}

/// By what others reach this manager.
pub fn names(config: &Config, machine: &Machine) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(String::from).into();
    names.push(machine.hostname.to_ascii_lowercase());
    names.extend(machine.addresses.iter().cloned());
    names.extend(config.pki.names.iter().map(|name| name.to_ascii_lowercase()));
    let advertised = [&config.manager.advertise, &config.advertise.address];
    names.extend(advertised.into_iter().flatten().filter_map(|address| host_of(address)));
    let listens = config.manager.host.iter().filter_map(|listen| match listen {
        Listen::Tcp { host, .. } => Some(host.to_ascii_lowercase()),
        _ => None,
    });
    names.extend(listens);
    // As they stand in a certificate: another spelling would look like another name for ever.
    for name in &mut names {
        if let Ok(ip) = name.parse::<IpAddr>() {
            *name = ip.to_canonical().to_string();
        }
    }
    let unspecified = |name: &str| name.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    names.retain(|name| (policy::is_name(name) || name.parse::<IpAddr>().is_ok()) && !unspecified(name));
    names.sort();
    names.dedup();
    names
}

/// The host of `HOST:PORT`.
fn host_of(address: &str) -> Option<String> {
    let (host, _) = address.rsplit_once(':')?;
    Some(host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase())
}

/// The token of the list of engines that this manager keeps; made if there is none yet.
///
/// # Errors
/// Those of the disk.
pub fn list_token(files: &Files) -> Result<String> {
    let path = files.own_list();
    if let Some(text) = Files::read(&path)? {
        let list: List = serde_json::from_str(&text).map_err(|e| damaged(&path, &e.to_string()))?;
        return Ok(list.token);
    }
    let list = List { token: hex(&random::<16>()?) };
    let text = serde_json::to_string(&list).map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    Files::write(&path, &text)?;
    Ok(list.token)
}

/// What is in its file.
#[derive(Serialize, Deserialize)]
struct List {
    token: String,
}

fn is_valid(files: &Files, now: i64) -> Result<()> {
    let Some(own) = Own::read(files)? else { return Ok(()) };
    match own.expires > now {
        true => Ok(()),
        false => Err(Error::us(
            Kind::Config,
            format!("{} expired on {}", files.cert().display(), clock::rfc3339(own.expires)),
        )
        .advise(
            "this machine was off for too long, or its clock is wrong: join again with the line that `swarmd join-token` \
             prints on the manager",
        )),
    }
}

/// What to tell a machine that has no certificate and cannot make one.
pub fn not_joined(config: &Config) -> Error {
    let role = if config.role.manages() { "manager" } else { "agent" };
    Error::us(Kind::Config, format!("this machine has no certificate of the cluster in {}", config.pki_dir().display()))
        .advise(format!(
            "on the first manager `swarmd join-token {role}` prints the line that makes it join: sudo swarmd join \
             --token SWMD-1-..."
        ))
}

/// How long from now until the certificate is to be renewed, a random time.
pub fn until_renewal(own: &Own, now: i64, chance: f64) -> Duration {
    let at = own.renewal(0.5 + 0.3 * chance.clamp(0.0, 1.0));
    Duration::from_secs(u64::try_from(at - now).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_spelt_as_in_certificates() {
        let mut config = Config::default();
        config.pki.names = vec!["fd00:0::1".into(), "::ffff:10.0.0.1".into(), "Boss.LAN".into()];
        let names = names(&config, &Machine { hostname: "boss".into(), addresses: Vec::new() });
        for name in ["fd00::1", "10.0.0.1", "boss.lan", "boss"] {
            assert!(names.iter().any(|n| n == name), "{names:?}");
        }
        assert_eq!(policy::of_manager(None, &names).unwrap(), names, "so none looks new");
    }
}
