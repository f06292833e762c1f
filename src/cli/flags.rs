//! The flags, as tables: what the parser accepts and what the help shows.
//!
//! No behaviour. A flag with a `key` is nothing but another spelling of that configuration key.

use super::grammar::{Flag, Tables, Takes};

const fn flag(
    names: &'static [&'static str],
    takes: Takes,
    default: &'static str,
    env: &'static str,
    key: &'static str,
    help: &'static str,
) -> Flag {
    Flag { names, takes, default, env, help, key }
}

use Takes::{Many, Number, One, Switch};

/// Flags before the command.
pub static GLOBAL: Tables = &[&[
    flag(&["debug"], Switch, "", "DEBUG", "", "log at level debug"),
    flag(
        &["log-level", "l"],
        One,
        "info",
        "",
        "",
        "least severe level to log: debug, info, warn, error, fatal, panic",
    ),
    flag(&["experimental"], Switch, "", "", "experimental", "set the experimental bit in /info and /version"),
    HELP,
    flag(&["version", "v"], Switch, "", "", "", "print the version"),
]];

pub(super) const HELP: Flag = flag(&["help", "h"], Switch, "", "", "", "print this help");

pub(super) const TLS: &[Flag] = &[
    flag(&["tls"], Switch, "", "", "tls.tls", "use TLS; --tlsverify implies it"),
    flag(
        &["tlscacert"],
        One,
        "",
        "",
        "tls.tlscacert",
        "trust only certificates signed by this CA (PEM file)",
    ),
    flag(&["tlscert"], One, "", "", "tls.tlscert", "certificate, leaf first (PEM file)"),
    flag(&["tlskey"], One, "", "", "tls.tlskey", "private key of the certificate (PEM file)"),
    flag(&["tlsverify"], Switch, "", "", "tls.tlsverify", "use TLS and verify the other side"),
];

const DISCOVERY_OPT: Flag = flag(
    &["discovery-opt"],
    Many,
    "",
    "",
    "discovery.options",
    "option of the discovery store, KEY=VALUE (kv.path, kv.cacertfile, kv.certfile, kv.keyfile, kv.token, kv.username, kv.password)",
);

pub(super) const SOURCES: &[Flag] = &[
    flag(&["config"], One, "", "", "", "read defaults for all flags from this file first"),
    flag(
        &["state-dir"],
        One,
        "/var/lib/swarmd",
        "",
        "state-dir",
        "where tokens and registrations live over restarts",
    ),
];

pub(super) const CREATE: &[Flag] = &[flag(
    &["host", "H"],
    One,
    "",
    "",
    "",
    "mint the token at this manager (tcp://HOST:PORT, unix:///PATH) instead of locally",
)];

pub(super) const LIST: &[Flag] =
    &[flag(&["timeout"], One, "10s", "", "", "give up after this long"), DISCOVERY_OPT];

pub(super) const JOIN: &[Flag] = &[
    flag(
        &["token"],
        One,
        "",
        "SWARMD_JOIN_TOKEN",
        "",
        "join with a token of `swarmd join-token` (SWMD-1-...), - reads it from the standard input: get a certificate, set up and start the service",
    ),
    flag(&["no-start"], Switch, "", "", "", "with --token: leave the service as it is"),
    flag(
        &["advertise", "addr"],
        One,
        "",
        "SWARM_ADVERTISE",
        "agent.advertise",
        "where managers reach this engine: HOST:PORT, or auto:PORT to find the host out",
    ),
    flag(&["heartbeat"], One, "60s", "", "discovery.heartbeat", "pause between two registrations"),
    flag(&["ttl"], One, "180s", "", "discovery.ttl", "how long a registration lives without a heartbeat"),
    flag(
        &["delay"],
        One,
        "0s",
        "",
        "agent.delay",
        "wait a random time up to this before the first registration",
    ),
    DISCOVERY_OPT,
];

pub(super) const MANAGE: &[Flag] = &[
    flag(&["strategy"], One, "spread", "", "manager.strategy", "placement strategy: spread, binpack, random"),
    flag(
        &["filter", "f"],
        Many,
        "",
        "",
        "manager.filter",
        "use only these filters: health, port, containerslots, dependency, affinity, constraint, whitelist",
    ),
    flag(
        &["host", "H"],
        Many,
        "",
        "SWARM_HOST",
        "manager.host",
        "where to listen: tcp://HOST:PORT, unix:///PATH, fd://NAME (default tcp://127.0.0.1:2375)",
    ),
    flag(
        &["allow-unauthenticated"],
        Switch,
        "",
        "",
        "manager.allow-unauthenticated",
        "serve beyond loopback without client certificates",
    ),
    flag(
        &["replication"],
        Switch,
        "",
        "",
        "manager.replication",
        "be one of several managers of which one leads",
    ),
    flag(
        &["replication-ttl"],
        One,
        "20s",
        "",
        "manager.replication-ttl",
        "how long leadership lives without a renewal",
    ),
    flag(
        &["advertise", "addr"],
        One,
        "",
        "SWARM_ADVERTISE",
        "manager.advertise",
        "where the other managers reach this one, HOST:PORT",
    ),
    flag(&["heartbeat"], One, "60s", "", "discovery.heartbeat", "pause between two looks at discovery"),
    flag(&["api-enable-cors", "cors"], Switch, "", "", "manager.api-enable-cors", "send CORS headers"),
    flag(&["cluster-driver", "c"], One, "swarm", "", "", "cluster driver; there is swarm"),
    flag(
        &["engine-refresh-min-interval"],
        One,
        "30s",
        "",
        "manager.engine-refresh-min-interval",
        "shortest pause between two refreshes of an engine",
    ),
    flag(
        &["engine-refresh-max-interval"],
        One,
        "60s",
        "",
        "manager.engine-refresh-max-interval",
        "longest pause between two refreshes of an engine",
    ),
    flag(
        &["engine-failure-retry"],
        Number,
        "3",
        "",
        "manager.engine-failure-retry",
        "failed calls in a row after which an engine is unhealthy",
    ),
    flag(&["engine-refresh-retry"], Number, "3", "", "", "deprecated; use --engine-failure-retry"),
    flag(
        &["refresh-on-node-filter"],
        Switch,
        "",
        "",
        "manager.refresh-on-node-filter",
        "refresh an engine when a list filters for it",
    ),
    flag(
        &["container-name-refresh-filter"],
        One,
        "",
        "",
        "manager.container-name-refresh-filter",
        "refresh all engines when a list filters for this container name",
    ),
    DISCOVERY_OPT,
    flag(&["cluster-opt"], Many, "", "", "", "option of the cluster driver, KEY=VALUE"),
];

pub(super) const NATIVE: &[Flag] = &[
    flag(
        &["config"],
        One,
        "/etc/swarmd/config.toml",
        "",
        "",
        "the configuration file; config.d/*.toml beside it is read too",
    ),
    flag(
        &["set"],
        Many,
        "",
        "",
        "",
        "set one key over file and environment, as in --set manager.strategy=binpack",
    ),
    flag(&["role"], One, "", "", "role", "manager, agent or both"),
    flag(&["state-dir"], One, "", "", "state-dir", "where tokens and registrations live over restarts"),
    HELP,
];

pub(super) const CHECK: &[Flag] = &[
    flag(
        &["offline"],
        Switch,
        "",
        "",
        "",
        "look at the configuration and the files that it names, at nothing else",
    ),
    flag(&["json"], Switch, "", "", "", "print JSON"),
];

pub(super) const SECRETS: &[Flag] = &[flag(
    &["secrets"],
    Switch,
    "",
    "",
    "",
    "print tokens and passwords, too: only then is the output the same configuration",
)];

/// Where the manager is, and in which form it answers.
pub(super) const ASK: &[Flag] = &[
    flag(
        &["host", "H"],
        One,
        "",
        "SWARMD_HOST",
        "",
        "the manager, tcp://HOST:PORT or unix:///PATH; else $DOCKER_HOST, else this machine's",
    ),
    flag(
        &["config"],
        One,
        "/etc/swarmd/config.toml",
        "",
        "",
        "the configuration file of this machine's manager",
    ),
    flag(&["json"], Switch, "", "", "", "print JSON"),
];

/// A new join token.
pub(super) const NEW_TOKEN: &[Flag] = &[
    flag(&["ttl"], One, "24h", "", "", "how long the token is good; 0 for ever"),
    flag(
        &["uses"],
        Number,
        "",
        "",
        "",
        "how many machines may join with it, 0 any number; unsaid any number of agents, or one manager",
    ),
];

pub(super) const NEW_USER: &[Flag] = &[
    flag(&["role"], One, "", "", "", "reader, operator, deployer or admin"),
    flag(&["ttl"], One, "90d", "", "", "how long the certificate is good"),
    flag(&["out"], One, "", "", "", "directory for ca.pem, cert.pem and key.pem; NAME-cert if not given"),
];

pub(super) const FINISH: &[Flag] =
    &[flag(&["finish"], Switch, "", "", "", "end a rotation now: who has no new certificate is locked out")];

pub(super) const SERIAL: &[Flag] =
    &[flag(&["serial"], One, "", "", "", "one certificate only, by its serial number, instead of a name")];

pub(super) const REASON: &[Flag] =
    &[flag(&["reason"], One, "", "", "", "why, for whoever wonders why nothing is placed there")];

pub(super) const DRY_RUN: &[Flag] =
    &[flag(&["dry-run"], Switch, "", "", "", "only show what would happen, and change nothing")];

pub(super) const PATIENCE: &[Flag] = &[flag(
    &["timeout"],
    One,
    "10m",
    "",
    "",
    "no further container is begun with after this time, and none waited for to become healthy",
)];

pub(super) const MOVES: &[Flag] = &[flag(&["max-moves"], Number, "10", "", "", "at most so many moves")];

pub(super) const FORCE: &[Flag] = &[flag(&["force", "f"], Switch, "", "", "", "also if the node is healthy")];

pub(super) const PROJECT: &[Flag] =
    &[flag(&["project-name", "p"], One, "", "", "", "name of the compose project; else as compose finds it")];
