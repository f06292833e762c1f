//! Facts about the manager's own machine, for `/info` and `/version`.
//!
//! The nodes' facts come from their engines, *not* from here.

use std::path::Path;

/// This machine, as `docker info` and `docker version` name things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Host name.
    pub name: String,
    /// Kernel release, as `uname -r` prints it; `<unknown>` if the kernel does not tell (as Docker writes it).
    pub kernel: String,
    /// Architecture this program was built for, in Docker's (Go's) words: `amd64`, `arm64`, `arm`.
    pub arch: &'static str,
    /// `PRETTY_NAME` of os-release(5), else `Linux`.
    pub os: String,
}

impl Host {
    /// Reads the facts. Never fails: what cannot be read has its stand-in.
    pub fn read() -> Host {
        Host {
            name: text(nix::unistd::gethostname().ok()).unwrap_or_else(|| "localhost".into()),
            kernel: text(nix::sys::utsname::uname().ok().map(|u| u.release().to_owned()))
                .unwrap_or_else(|| "<unknown>".into()),
            arch: docker_arch(std::env::consts::ARCH),
            os: os_name(&["/etc/os-release", "/usr/lib/os-release"]),
        }
    }
}

fn text(raw: Option<std::ffi::OsString>) -> Option<String> {
    raw.map(|s| s.to_string_lossy().into_owned()).filter(|s| !s.is_empty())
}

/// Rust's word for an architecture in Go's words.
fn docker_arch(rust: &'static str) -> &'static str {
    match rust {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        same => same, // arm, riscv64, s390x
    }
}

/// The first of `files` that exists decides, as os-release(5) says.
fn os_name(files: &[impl AsRef<Path>]) -> String {
    files
        .iter()
        .find_map(|file| std::fs::read_to_string(file).ok())
        .and_then(|content| pretty_name(&content))
        .unwrap_or_else(|| "Linux".into())
}

/// `PRETTY_NAME` out of an os-release file: shell-like assignments, the last one counts.
fn pretty_name(content: &str) -> Option<String> {
    content
        .lines()
        .filter_map(|line| line.trim().strip_prefix("PRETTY_NAME="))
        .next_back()
        .map(unquote)
        .filter(|name| !name.is_empty())
}

/// Takes off one pair of shell quotes; in double quotes a backslash makes the next character plain.
fn unquote(value: &str) -> String {
    let value = value.trim();
    if let Some(inner) = value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) {
        return inner.to_owned();
    }
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let mut plain = String::new();
    let mut chars = inner.unwrap_or(value).chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_system() {
        for (content, expected) in [
            (
                "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
                Some("Debian GNU/Linux 12 (bookworm)"),
            ),
            ("PRETTY_NAME='Raspbian'\n", Some("Raspbian")),
            ("PRETTY_NAME=Alpine\n", Some("Alpine")),
            ("PRETTY_NAME=\"A \\\"quoted\\\" \\$name\"", Some("A \"quoted\" $name")),
            ("PRETTY_NAME=old\nPRETTY_NAME=new\n", Some("new")),
            ("#PRETTY_NAME=commented\n", None),
            ("PRETTY_NAME=\"\"\n", None),
            ("NOT_PRETTY_NAME=x\n", None),
            ("", None),
        ] {
            assert_eq!(pretty_name(content).as_deref(), expected, "{content:?}");
        }
    }

    #[test]
    fn the_first_file_that_exists_decides() {
        let dir = tempfile::tempdir().unwrap();
        let vendor = dir.path().join("vendor");
        std::fs::write(&vendor, "PRETTY_NAME=Vendor\n").unwrap();
        let missing = dir.path().join("missing");
        assert_eq!(os_name(&[&missing, &vendor]), "Vendor");
        assert_eq!(os_name(&[&missing]), "Linux");
    }

    #[test]
    fn architectures_have_docker_names() {
        for (rust, docker) in
            [("x86_64", "amd64"), ("aarch64", "arm64"), ("arm", "arm"), ("riscv64", "riscv64")]
        {
            assert_eq!(docker_arch(rust), docker);
        }
    }

    #[test]
    fn this_machine_agrees_with_its_kernel() {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(Host::read().kernel, release.trim());
    }
}
