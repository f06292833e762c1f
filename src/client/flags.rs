//! The flags of `docker run`, as a table: which take a value, and which matter for placement.

/// What a flag is to a placement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Means {
    /// Nothing.
    Nothing,
    CpuShares,
    Cpus,
    Device,
    Env,
    EnvFile,
    Expose,
    Gpus,
    Ipc,
    Label,
    LabelFile,
    Link,
    Memory,
    MemoryReservation,
    Mount,
    Name,
    Network,
    Pid,
    Platform,
    Publish,
    PublishAll,
    Remove,
    Volume,
    VolumesFrom,
}

/// A flag.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Its long name.
    pub long: &'static str,
    /// Its letter, or `-`.
    pub short: char,
    /// Whether a value follows.
    pub takes_value: bool,
    /// What it is to a placement.
    pub means: Means,
}

const fn value(long: &'static str, short: char, means: Means) -> Flag {
    Flag { long, short, takes_value: true, means }
}

const fn switch(long: &'static str, short: char, means: Means) -> Flag {
    Flag { long, short, takes_value: false, means }
}

const fn ignored(long: &'static str) -> Flag {
    value(long, '-', Means::Nothing)
}

/// All flags of `docker run`, old spellings included.
pub static FLAGS: &[Flag] = &[
    value("cpu-shares", 'c', Means::CpuShares),
    value("cpus", '-', Means::Cpus),
    value("device", '-', Means::Device),
    value("env", 'e', Means::Env),
    value("env-file", '-', Means::EnvFile),
    value("expose", '-', Means::Expose),
    value("gpus", '-', Means::Gpus),
    value("ipc", '-', Means::Ipc),
    value("label", 'l', Means::Label),
    value("label-file", '-', Means::LabelFile),
    value("link", '-', Means::Link),
    value("memory", 'm', Means::Memory),
    value("memory-reservation", '-', Means::MemoryReservation),
    value("mount", '-', Means::Mount),
    value("name", '-', Means::Name),
    value("net", '-', Means::Network),
    value("network", '-', Means::Network),
    value("pid", '-', Means::Pid),
    value("platform", '-', Means::Platform),
    value("publish", 'p', Means::Publish),
    switch("publish-all", 'P', Means::PublishAll),
    switch("rm", '-', Means::Remove),
    value("volume", 'v', Means::Volume),
    value("volumes-from", '-', Means::VolumesFrom),
    switch("detach", 'd', Means::Nothing),
    switch("disable-content-trust", '-', Means::Nothing),
    switch("init", '-', Means::Nothing),
    switch("interactive", 'i', Means::Nothing),
    switch("no-healthcheck", '-', Means::Nothing),
    switch("oom-kill-disable", '-', Means::Nothing),
    switch("privileged", '-', Means::Nothing),
    switch("quiet", 'q', Means::Nothing),
    switch("read-only", '-', Means::Nothing),
    switch("sig-proxy", '-', Means::Nothing),
    switch("tty", 't', Means::Nothing),
    switch("use-api-socket", '-', Means::Nothing),
    value("attach", 'a', Means::Nothing),
    value("hostname", 'h', Means::Nothing),
    value("user", 'u', Means::Nothing),
    value("workdir", 'w', Means::Nothing),
    ignored("add-host"),
    ignored("annotation"),
    ignored("blkio-weight"),
    ignored("blkio-weight-device"),
    ignored("cap-add"),
    ignored("cap-drop"),
    ignored("cgroup-parent"),
    ignored("cgroupns"),
    ignored("cidfile"),
    ignored("cpu-count"),
    ignored("cpu-percent"),
    ignored("cpu-period"),
    ignored("cpu-quota"),
    ignored("cpu-rt-period"),
    ignored("cpu-rt-runtime"),
    ignored("cpuset-cpus"),
    ignored("cpuset-mems"),
    ignored("detach-keys"),
    ignored("device-cgroup-rule"),
    ignored("device-read-bps"),
    ignored("device-read-iops"),
    ignored("device-write-bps"),
    ignored("device-write-iops"),
    ignored("dns"),
    ignored("dns-opt"),
    ignored("dns-option"),
    ignored("dns-search"),
    ignored("domainname"),
    ignored("entrypoint"),
    ignored("group-add"),
    ignored("health-cmd"),
    ignored("health-interval"),
    ignored("health-retries"),
    ignored("health-start-interval"),
    ignored("health-start-period"),
    ignored("health-timeout"),
    ignored("io-maxbandwidth"),
    ignored("io-maxiops"),
    ignored("ip"),
    ignored("ip6"),
    ignored("isolation"),
    ignored("kernel-memory"),
    ignored("link-local-ip"),
    ignored("log-driver"),
    ignored("log-opt"),
    ignored("mac-address"),
    ignored("memory-swap"),
    ignored("memory-swappiness"),
    ignored("net-alias"),
    ignored("network-alias"),
    ignored("oom-score-adj"),
    ignored("pids-limit"),
    ignored("pull"),
    ignored("restart"),
    ignored("runtime"),
    ignored("security-opt"),
    ignored("shm-size"),
    ignored("stop-signal"),
    ignored("stop-timeout"),
    ignored("storage-opt"),
    ignored("sysctl"),
    ignored("tmpfs"),
    ignored("ulimit"),
    ignored("userns"),
    ignored("uts"),
    ignored("volume-driver"),
];

/// A flag that was given, with its value.
pub type Given = (&'static Flag, String);

/// The flags of a command line with their values (`true` for a bare switch), and what follows them. As in
/// `docker`: `--flag value`, `--flag=value`, `-p80`, `-p 80`, `-itd`; the first other word ends the flags.
pub fn split(words: &[String]) -> Result<(Vec<Given>, &[String]), String> {
    let mut given = Vec::new();
    let mut rest = words;
    while let Some((word, tail)) = rest.split_first() {
        if word.len() < 2 || !word.starts_with('-') {
            break;
        }
        rest = tail;
        if word == "--" {
            break;
        }
        match word.strip_prefix("--") {
            Some(long) => given.push(read_long(long, &mut rest)?),
            None => read_letters(&word[1..], &mut rest, &mut given)?,
        }
    }
    Ok((given, rest))
}

fn read_long(word: &str, rest: &mut &[String]) -> Result<Given, String> {
    let (name, inline) = word.split_once('=').map_or((word, None), |(name, v)| (name, Some(v.to_string())));
    let flag = FLAGS.iter().find(|f| f.long == name).ok_or_else(|| unknown(&format!("--{name}")))?;
    let value = match (inline, flag.takes_value) {
        (Some(value), _) => value,
        (None, false) => "true".to_string(),
        (None, true) => next(rest, &format!("--{name}"))?,
    };
    Ok((flag, value))
}

fn read_letters(letters: &str, rest: &mut &[String], given: &mut Vec<Given>) -> Result<(), String> {
    let mut letters = letters.chars();
    while let Some(letter) = letters.next() {
        let known = |f: &&Flag| letter != '-' && f.short == letter;
        let flag = FLAGS.iter().find(known).ok_or_else(|| unknown(&format!("-{letter}")))?;
        let tail = letters.as_str();
        let value = match (flag.takes_value, tail) {
            (false, _) if !tail.starts_with('=') => {
                given.push((flag, "true".to_string()));
                continue;
            }
            (_, "") => next(rest, &format!("-{letter}"))?,
            (_, inline) => inline.strip_prefix('=').unwrap_or(inline).to_string(),
        };
        given.push((flag, value));
        break;
    }
    Ok(())
}

fn next(rest: &mut &[String], flag: &str) -> Result<String, String> {
    let (value, tail) = rest.split_first().ok_or_else(|| format!("{flag} needs a value"))?;
    *rest = tail;
    Ok(value.clone())
}

fn unknown(flag: &str) -> String {
    let known = FLAGS.iter().map(|f| f.long);
    let hint = match crate::config::names::nearest(flag.trim_start_matches('-'), known) {
        Some(meant) => format!(" (did you mean --{meant}?)"),
        None => String::new(),
    };
    format!("unknown flag of docker run: {flag}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(Vec<String>, Vec<String>), String> {
        let words: Vec<String> = line.split(' ').map(String::from).collect();
        let (given, rest) = split(&words)?;
        Ok((given.iter().map(|(f, v)| format!("{}={v}", f.long)).collect(), rest.to_vec()))
    }

    #[test]
    fn all_spellings() {
        let (given, rest) =
            read("-itd -p80:80 -p=81:81 -e A=1 --name web --rm=false --memory=1g --init box sh -c -x")
                .unwrap();
        assert_eq!(
            given,
            [
                "interactive=true",
                "tty=true",
                "detach=true",
                "publish=80:80",
                "publish=81:81",
                "env=A=1",
                "name=web",
                "rm=false",
                "memory=1g",
                "init=true"
            ]
        );
        assert_eq!(rest, ["box", "sh", "-c", "-x"]);
        assert_eq!(
            read("-dp 80:80 -- box").unwrap(),
            (vec!["detach=true".to_string(), "publish=80:80".to_string()], vec!["box".to_string()])
        );
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for (line, error) in [
            ("--nmae x box", "unknown flag of docker run: --nmae (did you mean --name?)"),
            ("-dX box", "unknown flag of docker run: -X"),
            ("--name", "--name needs a value"),
            ("-dp", "-p needs a value"),
        ] {
            assert_eq!(read(line).unwrap_err(), error, "{line}");
        }
    }

    #[test]
    fn no_flag_stands_twice() {
        for (n, flag) in FLAGS.iter().enumerate() {
            let same = |f: &&Flag| f.long == flag.long || (flag.short != '-' && f.short == flag.short);
            assert_eq!(FLAGS[n + 1..].iter().find(same).map(|f| f.long), None, "{}", flag.long);
        }
    }
}
