//! Decisions in words: sizes, and why a node was turned away.
//!
//! An `Objection` borrows what it talks about, so that turning a node away costs nothing until somebody
//! asks for the text. The classic error texts are *not* here but in `rejection`.

use std::fmt;

use crate::docker::platform::Platform;
use crate::engine::Orders;
use crate::engine::machine::State;
use crate::engine::resources::Cpus;
use crate::scheduler::expr::Expr;

/// Why one node does not take the container.
#[derive(Debug, Clone, Copy)]
pub enum Objection<'a> {
    /// The operator lets it take no new containers.
    Ordered(&'a Orders),
    /// It is not healthy.
    Health(State, Option<&'a str>),
    /// A host port is taken; by whom, if that is one container.
    Port(&'a str, Option<&'a str>),
    /// It holds as many containers as its label allows: count and limit.
    Slots(usize, i64),
    /// A container that must be on the same node is not here.
    Missing(&'a str),
    /// An expression does not hold: its text, and whether it was a soft one.
    Expression(&'a Expr, bool),
    /// Its pattern cannot be compiled.
    Pattern(&'a Expr),
    /// An expression cannot be parsed.
    Unreadable(&'a str),
    /// The image is not here.
    Image(&'a str),
    /// Another platform is needed than that of the node.
    Platform(&'a Platform, &'a Platform),
    /// The container that is being replaced is elsewhere.
    Elsewhere,
    /// A device, a GPU or a runtime is not here: what is wanted, its name, and how the node would show it.
    Device(&'static str, &'a str, &'static str),
    /// Not enough memory: what does not fit.
    Memory(Shortage),
    /// Not enough CPUs, in thousandths.
    Cpus(Shortage),
    /// Fewer CPUs, in all, than it may use: that, and how many there are. In thousandths.
    CpuLimit(i64, i64),
}

/// Numbers of a reservation that does not fit. `total` includes `percent` overcommit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Shortage {
    pub needed: i64,
    pub used: i64,
    pub total: i64,
    pub percent: i64,
}

impl fmt::Display for Objection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objection::Ordered(orders) => orders.fmt(f),
            Objection::Health(state, None) => write!(f, "is {}", state.word()),
            Objection::Health(state, Some(error)) => write!(f, "is {}: {error}", state.word()),
            Objection::Port(port, None) => write!(f, "port {port} is taken"),
            Objection::Port(port, Some(holder)) => write!(f, "port {port} is taken by {holder}"),
            Objection::Slots(count, limit) => write!(f, "holds {count} containers, containerslots={limit}"),
            Objection::Missing(name) => write!(f, "does not have the container {name}"),
            Objection::Expression(expr, false) => write!(f, "does not satisfy {expr}"),
            Objection::Expression(expr, true) => write!(f, "does not satisfy {expr} (soft)"),
            Objection::Pattern(expr) => write!(f, "{expr} is not a valid pattern"),
            Objection::Unreadable(error) => f.write_str(error),
            Objection::Image(image) => write!(f, "does not have the image {image}"),
            Objection::Platform(needed, here) => write!(f, "needs {needed}, is {here}"),
            Objection::Elsewhere => f.write_str("does not have the container that is being replaced"),
            Objection::Device(what, "", sign) => write!(f, "has no {what} ({sign})"),
            Objection::Device(what, name, sign) => write!(f, "does not have the {what} {name} ({sign})"),
            Objection::Memory(s) => s.write(f, "", size),
            Objection::Cpus(s) => s.write(f, " CPUs (-c)", |milli| Cpus(milli).to_string()),
            Objection::CpuLimit(asked, here) => {
                write!(f, "is asked for {} CPUs (--cpus), has {}", Cpus(*asked), Cpus(*here))
            }
        }
    }
}

impl Shortage {
    fn write(&self, f: &mut fmt::Formatter<'_>, unit: &str, text: impl Fn(i64) -> String) -> fmt::Result {
        let free = self.total.saturating_sub(self.used).max(0);
        let [needed, free, total] = [self.needed, free, self.total].map(text);
        write!(f, "needs {needed}{unit}, {free} free of {total}")?;
        match self.percent {
            0 => Ok(()),
            percent => write!(f, ", {percent} % overcommit"),
        }
    }
}

/// Bytes as `docker info` shows them: four significant digits, base 1024 (`20 MiB`, `1.021 GiB`, `0 B`).
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut amount = bytes as f64;
    let mut unit = 0;
    while amount.abs() >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let decimals = match amount.abs() {
        a if a >= 999.5 => 0,
        a if a >= 99.995 => 1,
        a if a >= 9.9995 => 2,
        _ => 3,
    };
    let text = format!("{amount:.decimals$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_four_digits() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1500, "1.465 KiB"),
            (20 << 20, "20 MiB"),
            (1 << 30, "1 GiB"),
            (1_096_291_000, "1.021 GiB"),
            (16_493_678_592, "15.36 GiB"),
            (107_374_182_400, "100 GiB"),
            (1_099_000_000_000, "1024 GiB"),
            (i64::MAX, "8 EiB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn shortages_show_their_numbers() {
        let shortage = Shortage { needed: 512 << 20, used: 600 << 20, total: 900 << 20, percent: 5 };
        let text = Objection::Memory(shortage).to_string();
        assert_eq!(text, "needs 512 MiB, 300 MiB free of 900 MiB, 5 % overcommit");
        let cpus = Shortage { needed: 1500, used: 5000, total: 4000, percent: 0 };
        assert_eq!(Objection::Cpus(cpus).to_string(), "needs 1.5 CPUs (-c), 0 free of 4");
        let limit = Objection::CpuLimit(4500, 4000).to_string();
        assert_eq!(limit, "is asked for 4.5 CPUs (--cpus), has 4");
    }
}
