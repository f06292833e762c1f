//! How single keys read and print their values, where [`Value`]'s own readers are not enough.
//!
//! Helpers of the table in `keys` and of nothing else; they keep the classic texts.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::names::Named;
use super::units::format_duration;
use super::value::{Bad, Value, quoted, quoted_list};
use super::{Filter, Leave, Level, Listen};

pub(super) fn level(value: &Value) -> Result<Level, Bad> {
    let folded = Value::Text(value.text()?.to_lowercase());
    folded.named("not a valid logrus Level: \"{value}\"")
}

/// The classic tool had one text for "unreadable" and "too short" here.
pub(super) fn refresh(value: &Value, text: &str) -> Result<Duration, Bad> {
    let nanos = value.nanos().map_err(|why| Bad::new(text).advise(why.text.replace("{name}: ", "")))?;
    match u64::try_from(nanos) {
        Ok(nanos) if nanos > 0 => Ok(Duration::from_nanos(nanos)),
        _ => Err(Bad::new(text)),
    }
}

pub(super) fn failure_retry(value: &Value) -> Result<u32, Bad> {
    let count = value.integer()?;
    u32::try_from(count)
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| Bad::new("invalid failure retry count").advise(format!("{count} is not 1 or more")))
}

pub(super) fn create_retry(value: &Value) -> Result<u32, Bad> {
    let count = value.integer()?;
    u32::try_from(count).map_err(|_| match count < 0 {
        true => Bad::new(format!("{{name}} can not be negative, {count} is invalid")),
        false => Bad::new(format!("{{name}} is too large: {count}")),
    })
}

pub(super) fn overcommit(value: &Value) -> Result<f64, Bad> {
    let number = value.float()?;
    match number > -1.0 {
        true => Ok(number),
        false => Err(Bad::new(format!("{{name}} should be larger than -1, {number:.6} is invalid"))),
    }
}

pub(super) fn filters(value: &Value) -> Result<Vec<Filter>, Bad> {
    let names = value.list()?;
    names.iter().map(|name| Value::from(name.as_str()).named("filter not supported")).collect()
}

pub(super) fn leaves(value: &Value) -> Result<Vec<Leave>, Bad> {
    let names = value.list()?;
    names.iter().map(|name| Value::from(name.as_str()).named("{name} does not know \"{value}\"")).collect()
}

/// Absolute, and as plain as the paths that are compared with them.
pub(super) fn directories(value: &Value) -> Result<Vec<PathBuf>, Bad> {
    let plain = |path: String| match path.starts_with('/') && !path.split('/').any(|part| part == "..") {
        true => Ok(PathBuf::from(path)),
        false => Err(Bad::new(format!("{{name}} must name absolute directories without .., not {path:?}"))),
    };
    let all: Vec<PathBuf> = value.list()?.into_iter().map(plain).collect::<Result<_, _>>()?;
    // A link that is made in the outer one would lead the inner one anywhere.
    let inside = |one: &&PathBuf| all.iter().any(|other| *one != other && one.starts_with(other));
    match all.iter().find(inside) {
        Some(one) => Err(Bad::new(format!("{{name}} must not name {one:?}, which is below another of them"))),
        None => Ok(all),
    }
}

pub(super) fn paths(value: &[PathBuf]) -> Option<String> {
    Some(quoted_list(value.iter().map(|path| path.to_string_lossy().into_owned())))
}

/// A limit of nothing would shut everybody out.
pub(super) fn count(value: &Value) -> Result<u32, Bad> {
    let count = value.integer()?;
    let small = u32::try_from(count).ok().filter(|count| (1..=1_000_000).contains(count));
    small.ok_or_else(|| Bad::new(format!("{{name}} must be a number from 1 to 1000000, not {count}")))
}

/// What the server can be told: its buffer holds at least this much.
pub(super) fn header_bytes(value: &Value) -> Result<u32, Bad> {
    let bytes = count(value)?;
    match bytes >= 8192 {
        true => Ok(bytes),
        false => Err(Bad::new(format!("{{name}} must be at least 8192, not {bytes}"))),
    }
}

pub(super) fn hosts(value: &Value) -> Result<Vec<Listen>, Bad> {
    let texts = value.list()?;
    if texts.is_empty() {
        return Err(Bad::new("{name} must name at least one address to listen on"));
    }
    texts.iter().map(|text| Listen::parse(text).map_err(|why| wrong_host(&why))).collect()
}

pub(super) fn wrong_host(why: &str) -> Bad {
    Bad::new(why).advise("write tcp://HOST:PORT, unix:///PATH or fd://NAME")
}

pub(super) fn network_driver(value: &Value) -> Result<String, Bad> {
    value.optional()?.ok_or_else(|| Bad::new("{name} must be \"auto\" or the name of a driver"))
}

pub(super) fn state_dir(value: &Value) -> Result<PathBuf, Bad> {
    file(value)?.ok_or_else(|| Bad::new("{name} must name a directory"))
}

pub(super) fn file(value: &Value) -> Result<Option<PathBuf>, Bad> {
    value.optional().map(|text| text.map(Into::into))
}

pub(super) fn plain<T: Display>(value: &T) -> Option<String> {
    Some(value.to_string())
}

/// A float that TOML reads as a float: with a point or an exponent.
pub(super) fn number(value: &f64) -> Option<String> {
    Some(format!("{value:?}"))
}

pub(super) fn word<T: Named>(value: &T) -> Option<String> {
    Some(quoted(value.word()))
}

pub(super) fn words<T: Named>(values: &[T]) -> Option<String> {
    Some(quoted_list(values.iter().map(|value| value.word().to_string())))
}

pub(super) fn span(value: &Duration) -> Option<String> {
    Some(quoted(&format_duration(*value)))
}

pub(super) fn text(value: &Option<String>) -> Option<String> {
    value.as_deref().map(quoted)
}

pub(super) fn texts(values: &[String]) -> Option<String> {
    Some(quoted_list(values.iter().cloned()))
}

pub(super) fn path<P: AsRef<Path>>(value: &Option<P>) -> Option<String> {
    value.as_ref().map(|path| quoted(&path.as_ref().to_string_lossy()))
}

pub(super) fn listeners(value: &[Listen]) -> Option<String> {
    Some(quoted_list(value.iter().map(Listen::to_string)))
}

/// No store keeps a lease for less than a second, and most count in whole ones.
pub(super) fn replication_ttl(value: &Value) -> Result<Duration, Bad> {
    value.duration(Duration::from_nanos(1), "{name} should be a positive number")?;
    value.duration(Duration::from_secs(1), "{name} should be at least one second")
}

pub(super) fn table(value: &BTreeMap<String, String>) -> Option<String> {
    if value.is_empty() {
        return Some("{}".into());
    }
    let pairs: Vec<String> =
        value.iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value))).collect();
    Some(format!("{{ {} }}", pairs.join(", ")))
}
