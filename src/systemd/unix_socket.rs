//! Binding a unix socket: stale files go, live ones are respected, and at no moment is it open to others.
//!
//! Whoever may connect rules every node, so the mode is 0660. It does *not* check who connects.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind as bind_fd, connect, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Group};
use tokio::net::UnixListener;

use crate::error::{Error, Kind, Result};

/// The file of a unix socket. Dropping it removes the file if this process made it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode of the file we made.
    made: Option<(u64, u64)>,
}

impl SocketFile {
    /// Where it is; empty for an unnamed or abstract socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of an inherited socket, which stays.
    pub(super) fn of_others(path: &Path) -> SocketFile {
        SocketFile { path: path.into(), made: None }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // By now the path may belong to our successor: look before removing.
        if self.made.is_some() && identity(&self.path).ok() == self.made {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Listens on `path`, mode 0660, owned by `group` (name or number) if given.
pub(super) fn bind(path: &Path, group: Option<&str>) -> Result<(UnixListener, SocketFile)> {
    let group = group.map(find_group).transpose()?;
    clear_the_way(path)?;
    open(path, group).map_err(|error| explain(path, &error))
}

fn open(path: &Path, group: Option<Gid>) -> io::Result<(UnixListener, SocketFile)> {
    let fd = new_socket()?;
    // Linux gives the file the mode of the socket before bind(2), less the umask: ours alone until the
    // group is set, whatever the umask is.
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    bind_fd(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    let file = SocketFile { path: path.into(), made: Some(identity(path)?) };
    if group.is_some() {
        nix::unistd::chown(path, None, group)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    // As many as `net.core.somaxconn` allows. A number of our own is refused with musl if it is over 128.
    listen(&fd, Backlog::MAXALLOWABLE)?;
    let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(fd))?;
    Ok((listener, file))
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}

/// Removes a socket file that nobody answers on. Anything else in the way is an error.
fn clear_the_way(path: &Path) -> Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(explain(path, &error)),
    };
    if !meta.file_type().is_socket() {
        return Err(refused(Kind::Config, path, "a file that is no socket is in the way")
            .advise("remove it, or give another path"));
    }
    if is_stale(path).map_err(|error| explain(path, &error))? {
        tracing::info!(path = %path.display(), "removing a stale socket");
        return fs::remove_file(path).map_err(|error| explain(path, &error));
    }
    Err(refused(Kind::Unavailable, path, "another process listens there")
        .advise(format!("`ss -lxp src {}` shows which", path.display())))
}

/// Whether nobody listens. Never waits: the socket does not block, and a full queue has an owner.
fn is_stale(path: &Path) -> io::Result<bool> {
    match connect(new_socket()?.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::ECONNREFUSED) => Ok(true),
        Ok(()) | Err(Errno::EAGAIN | Errno::EPROTOTYPE) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

fn find_group(name: &str) -> Result<Gid> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        _ => Err(Error::us(Kind::Config, format!("group {name} of the unix socket does not exist"))
            .advise(format!("`groupadd --system {name}`, or name another group"))),
    }
}

fn refused(kind: Kind, path: &Path, why: &str) -> Error {
    Error::us(kind, format!("cannot listen on unix://{}: {why}", path.display()))
}

fn explain(path: &Path, error: &io::Error) -> Error {
    let why = error.to_string();
    let directory = path.parent().unwrap_or(path).display();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            refused(Kind::Permission, path, &why)
                .advise(format!("this user must be able to write to {directory}"))
        }
        io::ErrorKind::NotFound => {
            refused(Kind::Config, path, &why).advise(format!("the directory {directory} has to exist"))
        }
        io::ErrorKind::AddrInUse => refused(Kind::Unavailable, path, &why),
        _ if error.raw_os_error() == Some(Errno::ENAMETOOLONG as i32) => {
            refused(Kind::Config, path, &why).advise("the path of a unix socket has at most 107 bytes")
        }
        _ => refused(Kind::Unavailable, path, &why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener as StdListener, UnixStream};

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.sock");
        (dir, path)
    }

    #[tokio::test]
    async fn made_for_owner_and_group_and_removed_at_the_end() {
        let (_dir, path) = place();
        let own_group = nix::unistd::getgid().to_string();
        let (listener, file) = bind(&path, Some(&own_group)).unwrap();
        let meta = fs::metadata(&path).unwrap();
        assert_eq!(meta.mode() & 0o7777, 0o660);
        assert_eq!(meta.gid().to_string(), own_group);
        let client = UnixStream::connect(&path).unwrap();
        listener.accept().await.unwrap();
        drop((client, listener, file));
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_stale_file_is_replaced() {
        let (_dir, path) = place();
        drop(StdListener::bind(&path).unwrap());
        let (_listener, _file) = bind(&path, None).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_live_socket_is_left_alone() {
        let (_dir, path) = place();
        let other = StdListener::bind(&path).unwrap();
        let error = bind(&path, None).unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable);
        assert!(error.advice.unwrap().contains("ss -lxp"));
        UnixStream::connect(&path).unwrap();
        drop(other);
    }

    #[tokio::test]
    async fn a_file_of_another_kind_is_left_alone() {
        let (_dir, path) = place();
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind(&path, None).unwrap_err().kind, Kind::Config);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn the_file_of_a_successor_stays() {
        let (_dir, path) = place();
        let (listener, file) = bind(&path, None).unwrap();
        fs::remove_file(&path).unwrap();
        let _successor = StdListener::bind(&path).unwrap();
        drop((listener, file));
        assert!(path.exists());
    }

    #[tokio::test]
    async fn what_cannot_be_is_explained() {
        let (dir, path) = place();
        let missing = bind(&dir.path().join("no/such/dir"), None).unwrap_err();
        assert_eq!(missing.kind, Kind::Config);
        assert!(missing.advice.unwrap().contains("no/such"));
        assert_eq!(bind(&path, Some("no-such-group-here")).unwrap_err().kind, Kind::Config);
        let long = bind(&dir.path().join("x".repeat(200)), None).unwrap_err();
        assert!(long.advice.unwrap().contains("107 bytes"));
        assert!(!path.exists());
    }
}
