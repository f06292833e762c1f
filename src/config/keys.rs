//! Every configuration key once: its place in the file, its classic flag, how to read it and print it.
//!
//! Files, environment, flags, `swarmd config`, `swarmd check` and reload all walk this table. Rules that
//! need more than one key are in `check`.
//!
//! The order is the order in which the classic command line validated (so the first problem reported is the
//! one the classic tool would have died of).

use std::time::Duration;

use super::read::*;
use super::value::{Bad, Value, quoted};
use super::{Config, Pull, Role, Strategy, front};

/// One key.
pub struct Key {
    /// Dotted place in the file, `manager.engine-failure-retry`.
    pub path: &'static str,
    /// What classic messages call it, `--engine-failure-retry`.
    pub flag: &'static str,
    /// Whether a reload can apply it without a restart.
    pub live: bool,
    /// Checks a value and puts it in.
    pub set: fn(&mut Config, &Value) -> Result<(), Bad>,
    /// The value as TOML; `None` while unset.
    pub show: fn(&Config) -> Option<String>,
    /// Takes the value over, from the second to the first.
    pub copy: fn(&mut Config, &Config),
}

/// The key at this place.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Position in the classic order of validation; unknown keys go last.
pub fn rank(path: &str) -> usize {
    KEYS.iter().position(|key| key.path == path).unwrap_or(KEYS.len())
}

const LIVE: bool = true;
const RESTART: bool = false;
const NANOSECOND: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);

/// `key!("path", "flag", LIVE | RESTART, field.of.config, reader => printer)`.
macro_rules! key {
    ($path:literal, $flag:literal, $live:expr, $($field:ident).+, $read:expr, $show:expr) => {
        Key {
            path: $path,
            flag: $flag,
            live: $live,
            set: |config, value| {
                config.$($field).+ = ($read)(value)?;
                Ok(())
            },
            show: |config| ($show)(&config.$($field).+),
            copy: |to, from| to.$($field).+.clone_from(&from.$($field).+),
        }
    };
}

/// All keys.
pub static KEYS: &[Key] = &[
    key!("role", "--role", RESTART, role, |v: &Value| v.named::<Role>("{name} not supported"), word),
    key!("state-dir", "--state-dir", RESTART, state_dir, state_dir, |v: &_| path(&Some(v))),
    key!("experimental", "--experimental", LIVE, experimental, Value::boolean, plain),
    key!("log.level", "--log-level", LIVE, log.level, level, word),
    key!("tls.tls", "--tls", RESTART, tls.tls, Value::boolean, plain),
    key!("tls.tlsverify", "--tlsverify", RESTART, tls.tlsverify, Value::boolean, plain),
    key!("tls.tlscacert", "--tlscacert", RESTART, tls.tlscacert, file, path),
    key!("tls.tlscert", "--tlscert", RESTART, tls.tlscert, file, path),
    key!("tls.tlskey", "--tlskey", RESTART, tls.tlskey, file, path),
    key!("tls.strict", "--tls-strict", RESTART, tls.strict, Value::boolean, plain),
    key!("tls.client.cert", "--tls-client-cert", RESTART, tls.client.cert, file, path),
    key!("tls.client.key", "--tls-client-key", RESTART, tls.client.key, file, path),
    key!("pki.enabled", "pki.enabled", RESTART, pki.enabled, Value::boolean, plain),
    key!("pki.names", "pki.names", RESTART, pki.names, Value::list, texts),
    key!("pki.managers", "pki.managers", RESTART, pki.managers, Value::list, texts),
    key!(
        "pki.lifetime",
        "pki.lifetime",
        RESTART,
        pki.lifetime,
        |v: &Value| v.duration(SECOND * 10, "{name} should be at least ten seconds"),
        span
    ),
    key!("pki.shared-addresses", "pki.shared-addresses", RESTART, pki.shared_addresses, Value::list, texts),
    key!("pki.token-agents", "pki.token-agents", LIVE, pki.token_agents, Value::boolean, plain),
    key!(
        "manager.engine-refresh-min-interval",
        "--engine-refresh-min-interval",
        LIVE,
        manager.engine_refresh_min_interval,
        |v: &Value| refresh(v, "min refresh interval should be a positive number"),
        span
    ),
    key!(
        "manager.engine-refresh-max-interval",
        "--engine-refresh-max-interval",
        LIVE,
        manager.engine_refresh_max_interval,
        |v: &Value| refresh(v, "max refresh interval cannot be less than min refresh interval"),
        span
    ),
    key!(
        "manager.engine-failure-retry",
        "--engine-failure-retry",
        LIVE,
        manager.engine_failure_retry,
        failure_retry,
        plain
    ),
    key!("discovery.url", "<discovery>", RESTART, discovery.url, Value::optional, text),
    key!("agent.advertise", "--advertise", RESTART, agent.advertise, Value::optional, text),
    key!("agent.front", "agent.front", RESTART, agent.front, front::listen, front::shown),
    key!("agent.engine", "agent.engine", RESTART, agent.engine, front::engine, |v: &String| Some(quoted(v))),
    key!(
        "agent.delay",
        "--delay",
        RESTART,
        agent.delay,
        |v: &Value| v.duration(Duration::ZERO, "{name} should not be a negative number"),
        span
    ),
    key!(
        "discovery.heartbeat",
        "--heartbeat",
        RESTART,
        discovery.heartbeat,
        |v: &Value| v.duration(SECOND, "{name} should be at least one second"),
        span
    ),
    key!(
        "discovery.ttl",
        "--ttl",
        RESTART,
        discovery.ttl,
        |v: &Value| v.duration(NANOSECOND, "{name} must be strictly superior to the heartbeat value"),
        span
    ),
    key!("discovery.options", "--discovery-opt", RESTART, discovery.options, Value::options, table),
    key!("discovery.managers", "discovery.managers", RESTART, discovery.managers, Value::list, texts),
    key!("advertise.lan", "advertise.lan", RESTART, advertise.lan, Value::boolean, plain),
    key!("advertise.interfaces", "advertise.interfaces", RESTART, advertise.interfaces, Value::list, texts),
    key!("advertise.address", "advertise.address", RESTART, advertise.address, Value::optional, text),
    key!(
        "manager.strategy",
        "--strategy",
        LIVE,
        manager.strategy,
        |v: &Value| v.named::<Strategy>("strategy not supported"),
        word
    ),
    key!("manager.filter", "--filter", LIVE, manager.filter, filters, words),
    key!("manager.overcommit", "swarm.overcommit", LIVE, manager.overcommit, overcommit, number),
    key!("manager.create-retry", "swarm.createretry", LIVE, manager.create_retry, create_retry, plain),
    key!("manager.host", "--host", RESTART, manager.host, hosts, listeners),
    key!(
        "manager.allow-unauthenticated",
        "--allow-unauthenticated",
        RESTART,
        manager.allow_unauthenticated,
        Value::boolean,
        plain
    ),
    key!(
        "manager.refresh-on-node-filter",
        "--refresh-on-node-filter",
        LIVE,
        manager.refresh_on_node_filter,
        Value::boolean,
        plain
    ),
    key!(
        "manager.container-name-refresh-filter",
        "--container-name-refresh-filter",
        LIVE,
        manager.container_name_refresh_filter,
        Value::optional,
        text
    ),
    key!("manager.api-enable-cors", "--api-enable-cors", LIVE, manager.cors, Value::boolean, plain),
    key!("manager.replication", "--replication", RESTART, manager.replication, Value::boolean, plain),
    key!("manager.advertise", "--advertise", RESTART, manager.advertise, Value::optional, text),
    key!(
        "manager.replication-ttl",
        "--replication-ttl",
        RESTART,
        manager.replication_ttl,
        replication_ttl,
        span
    ),
    key!(
        "manager.pull",
        "--pull",
        LIVE,
        manager.pull,
        |v: &Value| v.named::<Pull>("{name} must be \"all\" or \"lazy\""),
        word
    ),
    key!(
        "manager.reschedule-delay",
        "--reschedule-delay",
        LIVE,
        manager.reschedule_delay,
        |v: &Value| v.duration(Duration::ZERO, "{name} should not be a negative number"),
        span
    ),
    key!("manager.image-copy", "--image-copy", LIVE, manager.image_copy, Value::boolean, plain),
    key!(
        "manager.network-driver",
        "--network-driver",
        LIVE,
        manager.network_driver,
        network_driver,
        |v: &String| Some(quoted(v))
    ),
    key!("manager.socket-group", "--socket-group", RESTART, manager.socket_group, Value::optional, text),
    key!("manager.node-prefix", "--node-prefix", LIVE, manager.node_prefix, Value::boolean, plain),
    key!("access.reader-logs", "access.reader-logs", LIVE, access.reader_logs, Value::boolean, plain),
    key!("access.deployer-allow", "access.deployer-allow", LIVE, access.deployer_allow, leaves, words),
    key!("access.deployer-binds", "access.deployer-binds", LIVE, access.deployer_binds, directories, paths),
    key!("limits.connections", "limits.connections", RESTART, limits.connections, count, plain),
    key!(
        "limits.connections-per-client",
        "limits.connections-per-client",
        RESTART,
        limits.connections_per_client,
        count,
        plain
    ),
    key!("limits.header-bytes", "limits.header-bytes", RESTART, limits.header_bytes, header_bytes, plain),
    key!("limits.headers", "limits.headers", RESTART, limits.headers, count, plain),
    key!("limits.handshakes", "limits.handshakes", RESTART, limits.handshakes, count, plain),
    key!(
        "limits.handshake-timeout",
        "limits.handshake-timeout",
        RESTART,
        limits.handshake_timeout,
        |v: &Value| v.duration(SECOND, "{name} should be at least one second"),
        span
    ),
    key!(
        "limits.requests-per-second",
        "limits.requests-per-second",
        RESTART,
        limits.requests_per_second,
        count,
        plain
    ),
    key!("limits.burst", "limits.burst", RESTART, limits.burst, count, plain),
    key!(
        "limits.strangers-per-second",
        "limits.strangers-per-second",
        RESTART,
        limits.strangers_per_second,
        count,
        plain
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shown_default_reads_back_as_itself() {
        for key in KEYS {
            let Some(shown) = (key.show)(&Config::default()) else {
                continue;
            };
            let mut config = Config::default();
            let value = super::super::file::inline(&shown);
            assert_ne!(value, Value::Text(shown), "{} is no TOML", key.path);
            (key.set)(&mut config, &value).unwrap();
            assert_eq!(config, Config::default(), "{}", key.path);
        }
    }

    #[test]
    fn single_values_are_refused_with_the_classic_text() {
        for (path, value, text) in [
            ("manager.strategy", "best", "strategy not supported"),
            ("manager.filter", "nope", "filter not supported"),
            ("manager.host", "udp://:1", "unsupported protocol: \"udp\""),
            ("log.level", "foo", "not a valid logrus Level: \"foo\""),
            ("manager.engine-failure-retry", "0", "invalid failure retry count"),
            ("manager.engine-refresh-min-interval", "x", "min refresh interval should be a positive number"),
            ("manager.engine-refresh-min-interval", "0s", "min refresh interval should be a positive number"),
            (
                "manager.engine-refresh-max-interval",
                "x",
                "max refresh interval cannot be less than min refresh interval",
            ),
            ("discovery.heartbeat", "999ms", "{name} should be at least one second"),
            ("agent.delay", "-1s", "{name} should not be a negative number"),
            ("manager.replication-ttl", "0", "{name} should be a positive number"),
            ("manager.replication-ttl", "999ms", "{name} should be at least one second"),
            ("manager.overcommit", "-2", "{name} should be larger than -1, -2.000000 is invalid"),
            ("manager.create-retry", "-1", "{name} can not be negative, -1 is invalid"),
        ] {
            let bad = (find(path).unwrap().set)(&mut Config::default(), &Value::from(value));
            assert_eq!(bad.unwrap_err().text, text, "{path}");
        }
    }
}
