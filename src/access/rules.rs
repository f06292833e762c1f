//! What single fields of bodies may say for those who are no admins.

use std::path::{Component, Path};

use crate::access::shape::Judge;
use crate::access::strict::Tree;
use crate::config::{Access, Leave};
use crate::error::{Error, Result};

/// Docker's default set: adding one of them undoes `--cap-drop`, and no more.
const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Options of networks that touch nothing but the network.
const NETWORK_OPTIONS: [&str; 4] = [
    "com.docker.network.driver.mtu",
    "com.docker.network.bridge.enable_icc",
    "com.docker.network.bridge.enable_ip_masquerade",
    "encrypted",
];

/// On a network that is a copy of another node's: the ID of the first one. Managers set it, nobody else.
pub const ORIGIN: &str = "com.docker.swarm.network.origin";

/// What a tmpfs may be told.
const TMPFS_OPTIONS: [&str; 6] = ["size=", "mode=", "uid=", "gid=", "nr_inodes=", "nr_blocks="];

fn text<'t>(judge: &Judge<'_>, tree: &'t Tree) -> Result<&'t str> {
    tree.text().ok_or_else(|| judge.wrong("must be a string"))
}

fn texts<'t>(judge: &Judge<'_>, tree: &'t Tree) -> Result<Vec<&'t str>> {
    match tree {
        Tree::Null => Ok(Vec::new()),
        Tree::List(items) => items.iter().map(|item| text(judge, item)).collect(),
        _ => Err(judge.wrong("must be a list of strings")),
    }
}

fn field<'t>(tree: &'t Tree, name: &str) -> &'t Tree {
    match tree {
        Tree::Map(fields) => {
            fields.iter().find(|(key, _)| key == name).map_or(&Tree::Null, |(_, value)| value)
        }
        _ => &Tree::Null,
    }
}

/// One of the container's own, or else it takes leave.
pub(super) fn own_or(judge: &mut Judge<'_>, tree: &Tree, own: &[&str], leave: Leave) -> Result<()> {
    let mode = text(judge, tree)?;
    match mode {
        _ if own.contains(&mode) => Ok(()),
        _ if mode.starts_with("container:") => judge.needs("of another container", Leave::Neighbours),
        _ => judge.needs(&format!("{mode:?}"), leave),
    }
}

pub(super) fn network_mode(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    match text(judge, tree)? {
        mode if mode.starts_with("container:") => judge.needs("of another container", Leave::Neighbours),
        mode => judge.network(mode),
    }
}

pub(super) fn network(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    let name = text(judge, tree)?;
    judge.network(name)
}

pub(super) fn capabilities(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    for name in texts(judge, tree)? {
        let bare = name.to_ascii_uppercase();
        if !CAPABILITIES.contains(&bare.strip_prefix("CAP_").unwrap_or(&bare)) {
            judge.needs(&format!("{name:?}"), Leave::Capabilities)?;
        }
    }
    Ok(())
}

pub(super) fn security(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    for option in texts(judge, tree)? {
        if !matches!(option, "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true") {
            // Not the option itself: it may be a whole profile.
            judge.needs("other than no-new-privileges", Leave::SecurityOptions)?;
        }
    }
    Ok(())
}

/// What of /proc is hidden and read-only: asked for, it can only be less than usual.
pub(super) fn proc_paths(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    match judge.is_seen() && !texts(judge, tree)?.is_empty() {
        true => Ok(()),
        false => judge.needs("", Leave::SecurityOptions),
    }
}

pub(super) fn not_negative(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    match tree {
        Tree::Number(number) if number.as_f64().is_some_and(|n| n >= 0.0) => Ok(()),
        Tree::Number(_) => judge.needs("below 0", Leave::Capabilities),
        _ => Err(judge.wrong("must be a number")),
    }
}

pub(super) fn volumes_from(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    if texts(judge, tree)?.is_empty() { Ok(()) } else { judge.needs("", Leave::Neighbours) }
}

/// `Volumes` of a container: places in it, nothing of the host.
pub(super) fn volume_paths(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    match tree {
        Tree::Null => Ok(()),
        Tree::Map(fields) if fields.iter().all(|(path, _)| !path.contains(':')) => Ok(()),
        _ => Err(judge.wrong("must be an object of paths")),
    }
}

/// `SOURCE:TARGET[:OPTIONS]`, where the source is a volume or a directory of the host.
pub(super) fn binds(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    for bind in texts(judge, tree)? {
        match bind.split_once(':') {
            Some((source, _)) if is_volume(source) => judge.volume(source),
            Some((source, _)) => host_path(judge, source)?,
            None if bind.starts_with('/') => {} // a place in the container, for a volume without a name
            None => return Err(judge.wrong("must be SOURCE:TARGET")),
        }
    }
    Ok(())
}

pub(super) fn mount(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    let source = field(tree, "Source");
    let source = if *source == Tree::Null { "" } else { text(judge, source)? };
    match field(tree, "Type").text().unwrap_or_default() {
        "volume" if source.is_empty() => Ok(()),
        "volume" if is_volume(source) => {
            judge.volume(source);
            Ok(())
        }
        "volume" => Err(judge.wrong("must name a volume")),
        "tmpfs" | "image" => Ok(()),
        "bind" => host_path(judge, source),
        _ => judge.needs("of this type", Leave::VolumeDrivers),
    }
}

/// A volume's name, maybe as `NODE/NAME`. Nothing that could be a path.
fn is_volume(source: &str) -> bool {
    let part = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    match source.split_once('/') {
        Some((node, name)) => part(node) && part(name),
        None => part(source),
    }
}

fn host_path(judge: &Judge<'_>, source: &str) -> Result<()> {
    let path = Path::new(source);
    let plain = path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
    // Not what is below them: whoever mounts one can make links in it, and engines follow links.
    let listed = judge.access().deployer_binds.iter().any(|allowed| path == allowed);
    // `components` leaves `.` out, which does no harm; `..` and what is not absolute do.
    match path.is_absolute() && plain && listed {
        true => Ok(()),
        false => Err(judge
            .forbid(&format!("{source:?} of the host"))
            .advise("use a volume, or have the admin put the directory into [access] deployer-binds")),
    }
}

/// A volume of driver `local` without options, or a tmpfs: with others it may be any directory of the host.
pub(super) fn volume_options(judge: &mut Judge<'_>, tree: &Tree, driver: &str, options: &str) -> Result<()> {
    let (name, options) = (field(tree, driver), field(tree, options));
    let local = matches!(name, Tree::Null) || matches!(name.text(), Some("" | "local"));
    if local && (options.is_nothing() || is_tmpfs(options)) {
        return Ok(());
    }
    let what = if local { "with these options" } else { "with this driver" };
    judge.needs(what, Leave::VolumeDrivers)
}

/// A volume that is there already, maybe made by an admin: it must be such as whoever mounts it, or gets into a
/// container that has it, could have made.
///
/// # Errors
/// 403
pub fn check_volume<'o>(
    name: &str,
    driver: &str,
    options: impl Iterator<Item = (&'o String, &'o String)>,
    access: &Access,
) -> Result<()> {
    let options = options.map(|(key, value)| (key.clone(), Tree::Text(value.clone()))).collect();
    let volume = [("Driver", Tree::Text(driver.to_string())), ("Options", Tree::Map(options))];
    let volume = Tree::Map(volume.map(|(key, value)| (key.to_string(), value)).into());
    let mut judge = Judge::new(access);
    volume_options(&mut judge, &volume, "Driver", "Options")
        .map_err(|e| Error { message: format!("the volume {name}: {}", e.message.trim()), ..e })
}

fn is_tmpfs(options: &Tree) -> bool {
    let Tree::Map(fields) = options else { return false };
    let harmless = |option: &str| TMPFS_OPTIONS.iter().any(|known| option.starts_with(known));
    field(options, "type").text() == Some("tmpfs")
        && fields.iter().all(|(key, value)| match (key.as_str(), value.text()) {
            ("type" | "device", Some("tmpfs")) => true,
            ("o", Some(all)) => all.split(',').all(harmless),
            _ => false,
        })
}

/// Labels of a network, but not the one by which it would become a part of another.
pub(super) fn network_labels(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    match field(tree, ORIGIN) {
        Tree::Null => Ok(()),
        _ => Err(judge.forbid(&format!("with {ORIGIN:?}"))),
    }
}

pub(super) fn network_options(judge: &mut Judge<'_>, tree: &Tree) -> Result<()> {
    let Tree::Map(options) = tree else { return Err(judge.wrong("must be an object")) };
    match options.iter().all(|(key, _)| NETWORK_OPTIONS.contains(&key.as_str())) {
        true => Ok(()),
        false => judge.needs("of this kind", Leave::NetworkDrivers),
    }
}
