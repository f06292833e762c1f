//! Lints what the configuration names: reads the files, knows what each is for.
//!
//! The rules are in `lint`.

use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::tls::lint::{Flaw, Given, Uses, Weight, lint};
use crate::tls::pem;

/// What is wrong with the certificates of this configuration; `now` in seconds since the epoch.
///
/// # Errors
/// A file that cannot be read, or that is not what it should be.
pub fn inspect(config: &Config, now: i64) -> Result<Vec<Flaw>> {
    let mut flaws = Vec::new();
    for given in given(config)? {
        flaws.extend(lint(&given, now));
    }
    // Files may be named more than once.
    let mut seen = Vec::new();
    flaws.retain(|flaw| {
        !seen.contains(flaw) && {
            seen.push(flaw.clone());
            true
        }
    });
    Ok(flaws)
}

/// The same at start: warnings go to the log, the first fatal flaw is the error.
pub fn guard(config: &Config, now: i64) -> Result<()> {
    for flaw in inspect(config, now)? {
        match flaw.weight {
            Weight::Warning => tracing::warn!("{}: {}", flaw.what, flaw.cure),
            Weight::Fatal => return Err(Error::us(Kind::Config, flaw.what).advise(flaw.cure)),
        }
    }
    Ok(())
}

fn given(config: &Config) -> Result<Vec<Given>> {
    let tls = &config.tls;
    let mut all = Vec::new();
    // The cluster's own are renewed by themselves, and need no word about how.
    let by_hand = tls.enabled() && !config.has_pki();
    let ca = tls.tlscacert.as_deref().filter(|_| tls.tlsverify);
    let served = tls.tlscert.as_deref().zip(tls.tlskey.as_deref()).filter(|_| config.serves());
    let shown = tls.client_pair();
    for (pair, server) in [(served, true), (shown.filter(|_| shown != served), false)] {
        if let Some((cert, key)) = pair.filter(|_| by_hand) {
            all.push(read(ca, cert, key, Uses { server, client: pair == shown })?);
        }
    }
    let option = |key: &str| config.discovery.options.get(key).map(PathBuf::from);
    if let (Some(ca), Some(cert), Some(key)) =
        (option("kv.cacertfile"), option("kv.certfile"), option("kv.keyfile"))
    {
        all.push(read(Some(&ca), &cert, &key, Uses { server: false, client: true })?);
    }
    Ok(all)
}

fn read(ca: Option<&Path>, cert: &Path, key: &Path, uses: Uses) -> Result<Given> {
    let ca = ca.map(|path| Ok((path.to_path_buf(), pem::certificates(path)?))).transpose()?;
    let cert = (cert.to_path_buf(), pem::certificates(cert)?);
    Ok(Given { ca, cert, key: (key.to_path_buf(), pem::private_key(key)?), uses })
}
