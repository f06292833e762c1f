//! One search with an end, for commands that want an answer: `swarmd list token://TOKEN`.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use crate::config;
use crate::discovery::lan::interfaces;
use crate::discovery::lan::{Found, Lan};
use crate::error::{Error, Kind, Result};

/// How long a search goes on with nobody found, before that is told.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Once one is found, the others get this long.
const OTHERS: Duration = Duration::from_millis(700);

/// The managers that host `token`, within `patience`.
///
/// Errors: none was found.
pub async fn managers(settings: &config::Advertise, token: &str, patience: Duration) -> Result<Vec<Found>> {
    let lan = Lan::open(settings, "list")?;
    let mut browser = lan.browse(token);
    let end = Instant::now() + patience;
    let first = timeout(patience, browser.found.wait_for(|found| !found.is_empty())).await.is_ok();
    if first {
        sleep_until(end.min(Instant::now() + OTHERS)).await;
    }
    let found = browser.found.borrow().clone();
    match found.is_empty() {
        true => Err(nobody(settings, patience)),
        false => Ok(found),
    }
}

/// Nobody was found, and what to do about that.
pub fn nobody(settings: &config::Advertise, patience: Duration) -> Error {
    let names = interfaces::names(&interfaces::here(&settings.interfaces));
    let text = format!("no manager with this token was found on {names} within {} s", patience.as_secs());
    Error::store(Kind::Unavailable, text).advise(
        "does the manager run, with [advertise] lan = true, on the same network, and is UDP port 5353 open? Else write \
         token://MANAGER:3376/TOKEN or managers = [\"MANAGER:3376\"]",
    )
}
