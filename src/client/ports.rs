//! Published ports and amounts as users write them, read as Docker's client reads them.

/// One published port: `80/tcp`, the address, and the port or range of the host; both may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Published {
    pub container: String,
    pub host_ip: String,
    pub host_port: String,
}

/// Reads `[[ADDRESS:]HOST:]CONTAINER[/PROTOCOL]`; host and container may be ranges.
pub fn published(text: &str) -> Result<Vec<Published>, String> {
    let malformed = || format!("malformed port {text:?}");
    let (ports, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let (ip, ports) = match ports.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((ip, rest)) => (Some(ip), rest),
        None => (None, ports),
    };
    let parts: Vec<&str> = ports.split(':').collect();
    let (ip, host, container) = match (ip, parts.as_slice()) {
        (None, [container]) => ("", "", *container),
        (None, [host, container]) => ("", *host, *container),
        (None, [ip, host, container]) => (*ip, *host, *container),
        (Some(ip), [host, container]) => (ip, *host, *container),
        _ => return Err(malformed()),
    };
    let inside = range(container).ok_or_else(malformed)?;
    let outside = if host.is_empty() { None } else { Some(range(host).ok_or_else(malformed)?) };
    let one = |container: u16, host_port: String| Published {
        container: format!("{container}/{protocol}"),
        host_ip: ip.to_string(),
        host_port,
    };
    match outside {
        None => Ok((inside.0..=inside.1).map(|port| one(port, String::new())).collect()),
        Some(outside) if outside.1 - outside.0 == inside.1 - inside.0 => Ok((inside.0..=inside.1)
            .zip(outside.0..)
            .map(|(port, host)| one(port, host.to_string()))
            .collect()),
        // Any free one of the range.
        Some(outside) if inside.0 == inside.1 => {
            Ok(vec![one(inside.0, format!("{}-{}", outside.0, outside.1))])
        }
        Some(_) => Err(format!("the two ranges of {text:?} are not equally long")),
    }
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from <= to).then_some((from, to))
}

/// Reads an amount of memory: `512m`, `1.5g`, `1GiB`, `1000`.
pub fn bytes(text: &str) -> Result<i64, String> {
    let malformed = || format!("malformed amount of memory {text:?}");
    let lower = text.trim().to_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let factor: i64 = match unit.trim().trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(malformed()),
    };
    match number.parse::<i64>() {
        Ok(whole) => whole.checked_mul(factor).ok_or_else(malformed),
        Err(_) => number.parse::<f64>().map(|n| (n * factor as f64) as i64).map_err(|_| malformed()),
    }
}

/// Reads CPUs (`1.5`) as billionths of one.
pub fn nano_cpus(text: &str) -> Result<i64, String> {
    let malformed = || format!("malformed number of CPUs {text:?}");
    let cpus: f64 = text.trim().parse().map_err(|_| malformed())?;
    if cpus.is_finite() && cpus >= 0.0 { Ok((cpus * 1e9).round() as i64) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let shown = |p: &Published| format!("{} {} {}", p.container, p.host_ip, p.host_port);
        published(text).map(|all| all.iter().map(shown).collect())
    }

    #[test]
    fn ports_in_all_forms() {
        for (text, expected) in [
            ("80", vec!["80/tcp  "]),
            ("8080:80", vec!["80/tcp  8080"]),
            ("127.0.0.1:8080:80/udp", vec!["80/udp 127.0.0.1 8080"]),
            ("127.0.0.1::80", vec!["80/tcp 127.0.0.1 "]),
            ("[::1]:8080:80", vec!["80/tcp ::1 8080"]),
            ("8000-8001:80-81", vec!["80/tcp  8000", "81/tcp  8001"]),
            ("8000-8005:80", vec!["80/tcp  8000-8005"]),
            ("80-81", vec!["80/tcp  ", "81/tcp  "]),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        for text in ["", "x", "80:", "1:2:3:4", "8000-8001:80-82", "81-80", "70000", "80:x"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts() {
        for (text, expected) in [
            ("1000", 1000),
            ("512m", 512 << 20),
            ("1.5g", 3 << 29),
            ("1GiB", 1 << 30),
            ("2KB", 2048),
            ("3b", 3),
        ] {
            assert_eq!(bytes(text).unwrap(), expected, "{text}");
        }
        assert!(bytes("x").is_err() && bytes("1q").is_err() && bytes("").is_err());
        assert_eq!(nano_cpus("1.5").unwrap(), 1_500_000_000);
        assert!(nano_cpus("-1").is_err() && nano_cpus("x").is_err() && nano_cpus("NaN").is_err());
    }
}
