//! The bodies of the Engine API, field by field, with what those who are no admins may say in them.
//!
//! The fields are those of API 1.22 to 1.52. A new one is refused until it has a line here.

use crate::access::rules::{
    binds, capabilities, mount, network, network_labels, network_mode, network_options, not_negative, own_or,
    proc_paths, security, volume_options, volume_paths, volumes_from,
};
use crate::access::shape::{Field, Judge, Named, Shape, free, mild, off, shaped};
use crate::access::strict::Tree;
use crate::config::{Access, Leave};
use crate::error::{Error, Kind, Result};
use Shape::{Each, Fields, Record, Rule};

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Form {
    /// No body: none at all, `{}` or `null`.
    Nothing,
    /// A stream that engines take as a whole: a tar archive.
    Stream,
    /// The connection becomes a stream, nothing before it.
    Tunnel,
    /// JSON that only this manager reads, strictly, by itself.
    Ours,
    Create,
    Exec,
    ExecStart,
    Update,
    Commit,
    Copy,
    Network,
    Connect,
    Disconnect,
    Volume,
    Credentials,
}

impl Form {
    fn shape(self) -> Option<&'static Shape> {
        match self {
            Form::Nothing | Form::Stream | Form::Tunnel | Form::Ours => None,
            Form::Create => Some(&CREATE),
            Form::Exec => Some(&EXEC),
            Form::ExecStart => Some(&EXEC_START),
            Form::Update => Some(&UPDATE),
            Form::Commit => Some(&COMMIT),
            Form::Copy => Some(&COPY),
            Form::Network => Some(&NETWORK),
            Form::Connect => Some(&CONNECT),
            Form::Disconnect => Some(&DISCONNECT),
            Form::Volume => Some(&VOLUME),
            Form::Credentials => Some(&CREDENTIALS),
        }
    }
}

/// A body that may be sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The body, written anew.
    pub body: String,
    /// What it names.
    pub named: Named,
}

/// Holds a body against its form.
///
/// # Errors
/// `Invalid` for what is no such body, 403 for what is not for this role.
pub fn check(form: Form, body: &[u8], access: &Access) -> Result<Checked> {
    let empty = body.trim_ascii().is_empty();
    let Some(shape) = form.shape() else {
        return match empty || matches!(body.trim_ascii(), b"{}" | b"null") {
            true => Ok(Checked { body: String::new(), named: Named::default() }),
            false => Err(Error::client(Kind::Invalid, "invalid request body: there must be none here")),
        };
    };
    // Engines take these without a body.
    if empty && matches!(form, Form::Volume | Form::Commit | Form::ExecStart) {
        return Ok(Checked { body: String::new(), named: Named::default() });
    }
    let mut judge = Judge::new(access);
    let tree = judge.check(Tree::parse(body)?, shape)?;
    if tree == Tree::Null {
        return Err(judge.wrong("must be an object"));
    }
    Ok(Checked { body: tree.to_json(), named: judge.named })
}

/// Whether whoever gets into a container gets something of the host: `inspect` is what its engine says of it.
///
/// # Errors
/// 403, with what it is. Otherwise what it names.
pub fn check_entered(inspect: &[u8], access: &Access) -> Result<Named> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Inspected {
        host_config: Box<serde_json::value::RawValue>,
    }
    let strange = |_| Error::engine(Kind::Protocol, "the engine says nothing of how the container is set up");
    let inspected: Inspected = serde_json::from_slice(inspect).map_err(strange)?;
    let mut judge = Judge::of_seen(access);
    judge.check(Tree::parse(inspected.host_config.get().as_bytes())?, &HOST)?;
    Ok(judge.named)
}

/// `POST /containers/create`. Clients before API 1.18 put a few limits outside of `HostConfig`; engines took all of
/// it there, `Privileged`, too.
static CREATE: Shape = Fields(&[
    CONFIG,
    &[
        free("Memory"),
        free("MemorySwap"),
        free("CpuShares"),
        free("Cpuset"),
        shaped("HostConfig", Fields(HOST_GROUPS)),
        shaped("NetworkingConfig", Fields(&[&[shaped("EndpointsConfig", Shape::Networks(&ENDPOINT))]])),
    ],
]);

static HOST: Shape = Fields(HOST_GROUPS);
const HOST_GROUPS: &[&[Field]] = &[LIMITS, HOST_FIELDS];

/// What a container runs.
const CONFIG: &[Field] = &[
    free("Hostname"),
    free("Domainname"),
    free("User"),
    free("AttachStdin"),
    free("AttachStdout"),
    free("AttachStderr"),
    free("PortSpecs"),
    free("ExposedPorts"),
    free("Tty"),
    free("OpenStdin"),
    free("StdinOnce"),
    free("Env"),
    free("Cmd"),
    free("Healthcheck"),
    free("ArgsEscaped"),
    free("Image"),
    shaped("Volumes", Rule(volume_paths)),
    free("WorkingDir"),
    free("Entrypoint"),
    free("NetworkDisabled"),
    free("MacAddress"),
    free("OnBuild"),
    free("Labels"),
    free("StopSignal"),
    free("StopTimeout"),
    free("Shell"),
];

/// What a container may use up.
const LIMITS: &[Field] = &[
    free("Memory"),
    free("MemorySwap"),
    free("MemoryReservation"),
    free("MemorySwappiness"),
    free("KernelMemory"),
    free("KernelMemoryTCP"),
    free("NanoCpus"),
    free("CpuShares"),
    free("CpuPeriod"),
    free("CpuQuota"),
    free("CpuRealtimePeriod"),
    free("CpuRealtimeRuntime"),
    free("CpusetCpus"),
    free("CpusetMems"),
    free("CpuCount"),
    free("CpuPercent"),
    free("IOMaximumIOps"),
    free("IOMaximumBandwidth"),
    free("BlkioWeight"),
    free("BlkioWeightDevice"),
    free("BlkioDeviceReadBps"),
    free("BlkioDeviceWriteBps"),
    free("BlkioDeviceReadIOps"),
    free("BlkioDeviceWriteIOps"),
    free("PidsLimit"),
    free("OomKillDisable"),
    free("Ulimits"),
];

const HOST_FIELDS: &[Field] = &[
    shaped("OomScoreAdj", Rule(not_negative)),
    free("ShmSize"),
    free("StorageOpt"),
    // What it is and how it lives.
    mild(
        "LogConfig",
        Fields(&[&[
            shaped(
                "Type",
                Rule(|judge, name| {
                    own_or(judge, name, &["", "json-file", "local", "none"], Leave::LogDrivers)
                }),
            ),
            free("Config"),
        ]]),
    ),
    free("RestartPolicy"),
    free("AutoRemove"),
    free("ReadonlyRootfs"),
    free("Tmpfs"),
    free("Init"),
    free("ConsoleSize"),
    free("ContainerIDFile"),
    free("GroupAdd"),
    free("Sysctls"), // engines take only those of the container's own namespaces
    free("CapDrop"),
    // How it is reached.
    free("PortBindings"),
    free("PublishAllPorts"),
    free("Dns"),
    free("DnsOptions"),
    free("DnsSearch"),
    free("ExtraHosts"),
    free("Links"),
    shaped("NetworkMode", Rule(network_mode)),
    // What it has of the host.
    off("Privileged", Leave::Privileged),
    shaped("CapAdd", Rule(capabilities)),
    shaped("SecurityOpt", Rule(security)),
    shaped("MaskedPaths", Rule(proc_paths)),
    shaped("ReadonlyPaths", Rule(proc_paths)),
    shaped("Binds", Rule(binds)),
    shaped("Mounts", Each(&Record(&[MOUNT], mount))),
    shaped("VolumeDriver", Rule(|judge, name| own_or(judge, name, &["", "local"], Leave::VolumeDrivers))),
    shaped("VolumesFrom", Rule(volumes_from)),
    off("Devices", Leave::Devices),
    off("DeviceRequests", Leave::Devices),
    off("DeviceCgroupRules", Leave::Devices),
    shaped("PidMode", Rule(|judge, mode| own_or(judge, mode, &[""], Leave::HostPid))),
    shaped(
        "IpcMode",
        Rule(|judge, mode| own_or(judge, mode, &["", "none", "private", "shareable"], Leave::HostIpc)),
    ),
    shaped("UTSMode", Rule(|judge, mode| own_or(judge, mode, &[""], Leave::HostUts))),
    shaped("UsernsMode", Rule(|judge, mode| own_or(judge, mode, &[""], Leave::HostUserns))),
    mild("CgroupnsMode", Rule(|judge, mode| own_or(judge, mode, &["", "private"], Leave::HostCgroup))),
    off("Cgroup", Leave::HostCgroup),
    off("CgroupParent", Leave::HostCgroup),
    shaped(
        "Runtime",
        Rule(|judge, name| own_or(judge, name, &["", "runc", "io.containerd.runc.v2"], Leave::Runtimes)),
    ),
    off("Annotations", Leave::Runtimes),
    shaped("Isolation", Rule(|judge, mode| own_or(judge, mode, &["", "default"], Leave::Runtimes))),
    off("LxcConf", Leave::Runtimes),
];

const MOUNT: &[Field] = &[
    shaped("Type", Shape::Free),
    shaped("Source", Shape::Free),
    free("Target"),
    free("ReadOnly"),
    free("Consistency"),
    free("BindOptions"),
    shaped(
        "VolumeOptions",
        Fields(&[&[
            free("NoCopy"),
            free("Labels"),
            free("Subpath"),
            shaped(
                "DriverConfig",
                Record(&[&[shaped("Name", Shape::Free), shaped("Options", Shape::Free)]], |judge, driver| {
                    volume_options(judge, driver, "Name", "Options")
                }),
            ),
        ]]),
    ),
    free("TmpfsOptions"),
    free("ImageOptions"),
];

static ENDPOINT: Shape = Fields(ENDPOINT_FIELDS);
/// What a container has in one network.
const ENDPOINT_FIELDS: &[&[Field]] = &[&[
    free("IPAMConfig"),
    free("Links"),
    free("Aliases"),
    free("MacAddress"),
    free("DriverOpts"),
    free("GwPriority"),
    shaped("NetworkID", Rule(network)),
    free("EndpointID"),
    free("Gateway"),
    free("IPAddress"),
    free("IPPrefixLen"),
    free("IPv6Gateway"),
    free("GlobalIPv6Address"),
    free("GlobalIPv6PrefixLen"),
    free("DNSNames"),
]];

/// `POST /containers/{name}/exec`
static EXEC: Shape = Fields(&[&[
    free("User"),
    free("Tty"),
    free("ConsoleSize"),
    free("AttachStdin"),
    free("AttachStdout"),
    free("AttachStderr"),
    free("Detach"),
    free("DetachKeys"),
    free("Env"),
    free("WorkingDir"),
    free("Cmd"),
    free("Container"),
    off("Privileged", Leave::Privileged),
]]);

/// `POST /exec/{id}/start`
static EXEC_START: Shape = Fields(&[&[free("Detach"), free("Tty"), free("ConsoleSize"), free("DetachKeys")]]);

/// `POST /containers/{name}/update`: limits, and nothing that is not one.
static UPDATE: Shape = Fields(&[
    LIMITS,
    &[
        free("RestartPolicy"),
        off("CgroupParent", Leave::HostCgroup),
        off("Devices", Leave::Devices),
        off("DeviceRequests", Leave::Devices),
        off("DeviceCgroupRules", Leave::Devices),
    ],
]);

/// `POST /commit`: the settings of the new image.
static COMMIT: Shape = Fields(&[CONFIG]);

/// `POST /containers/{name}/copy` of the oldest clients.
static COPY: Shape = Fields(&[&[free("Resource"), free("HostPath")]]);

/// `POST /networks/create`
static NETWORK: Shape = Fields(&[&[
    free("Name"),
    free("CheckDuplicate"),
    shaped(
        "Driver",
        Rule(|judge, name| own_or(judge, name, &["", "default", "bridge", "overlay"], Leave::NetworkDrivers)),
    ),
    mild(
        "Scope",
        Rule(|judge, scope| own_or(judge, scope, &["", "local", "global", "swarm"], Leave::NetworkDrivers)),
    ),
    free("Internal"),
    free("Attachable"),
    off("Ingress", Leave::NetworkDrivers),
    off("ConfigOnly", Leave::NetworkDrivers),
    shaped("ConfigFrom", Fields(&[&[off("Network", Leave::NetworkDrivers)]])),
    free("EnableIPv4"),
    free("EnableIPv6"),
    shaped(
        "IPAM",
        Fields(&[&[
            shaped(
                "Driver",
                Rule(|judge, name| own_or(judge, name, &["", "default"], Leave::NetworkDrivers)),
            ),
            off("Options", Leave::NetworkDrivers),
            free("Config"),
        ]]),
    ),
    shaped("Options", Rule(network_options)),
    shaped("Labels", Rule(network_labels)),
]]);

/// `POST /networks/{name}/connect`
static CONNECT: Shape = Fields(&[&[free("Container"), shaped("EndpointConfig", Fields(ENDPOINT_FIELDS))]]);

/// `POST /networks/{name}/disconnect`
static DISCONNECT: Shape = Fields(&[&[free("Container"), free("Force")]]);

/// `POST /volumes/create`
static VOLUME: Shape = Record(
    &[&[
        free("Name"),
        free("Driver"),
        free("DriverOpts"),
        free("Labels"),
        off("ClusterVolumeSpec", Leave::VolumeDrivers),
    ]],
    |judge, volume| volume_options(judge, volume, "Driver", "DriverOpts"),
);

/// `POST /auth`: for a registry, by way of an engine.
static CREDENTIALS: Shape = Fields(&[&[
    free("username"),
    free("password"),
    free("auth"),
    free("email"),
    free("serveraddress"),
    free("identitytoken"),
    free("registrytoken"),
]]);
