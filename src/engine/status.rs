//! The state of a container in words: `State` of list entries, and the `Status` text with its ages.

use std::fmt;

use crate::clock;
use crate::docker::types::InspectedState;

/// What is known of a container's life. Times in nanoseconds since the epoch by the engine's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Life {
    pub running: bool,
    pub paused: bool,
    pub restarting: bool,
    pub dead: bool,
    pub exit_code: i64,
    pub started: Option<i64>,
    pub finished: Option<i64>,
    /// `starting`, `healthy`, `unhealthy`, or empty.
    pub health: String,
}

impl Life {
    /// From an inspect answer.
    pub fn read(state: &InspectedState) -> Life {
        Life {
            running: state.running,
            paused: state.paused,
            restarting: state.restarting,
            dead: state.dead,
            exit_code: state.exit_code,
            started: clock::parse_rfc3339_nanos(&state.started_at),
            finished: clock::parse_rfc3339_nanos(&state.finished_at),
            health: match state.health.status.as_str() {
                "none" => String::new(),
                other => other.to_string(),
            },
        }
    }

    /// From a list entry: the word and the text of its state, at `now` by the engine's clock (nanoseconds). Times are
    /// as exact as the text's ages.
    pub fn guess(word: &str, text: &str, now: i64) -> Life {
        let is = |words: &[&str]| words.contains(&word);
        let running = is(&["running", "paused", "restarting"]);
        let health = ["(healthy)", "(unhealthy)", "(health: starting)"].iter().find(|h| text.ends_with(**h));
        let code = text.split_once('(').and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
        let ended = matches!(word, "exited" | "dead");
        let since = seconds(text).map(|age| now - age * 1_000_000_000);
        Life {
            running,
            paused: word == "paused",
            restarting: word == "restarting",
            dead: word == "dead",
            exit_code: code.filter(|_| ended || word == "restarting").unwrap_or(0),
            started: since.or(Some(now)).filter(|_| running || ended),
            finished: since.or(Some(now)).filter(|_| ended || word == "restarting"),
            health: health
                .map_or("", |h| h.trim_matches(['(', ')']).trim_start_matches("health: "))
                .to_string(),
        }
    }

    /// One word: `running`, `paused`, `restarting`, `dead`, `created` or `exited`.
    pub fn word(&self) -> &'static str {
        match self {
            Life { running: true, paused: true, .. } => "paused",
            Life { running: true, restarting: true, .. } => "restarting",
            Life { running: true, .. } => "running",
            Life { dead: true, .. } => "dead",
            Life { started: None, .. } => "created",
            _ => "exited",
        }
    }

    /// The health word that filters see.
    pub fn health_word(&self) -> &str {
        if self.health.is_empty() { "none" } else { &self.health }
    }

    /// The text under STATUS in `docker ps`, at `now` (nanoseconds by the engine's clock).
    pub fn text(&self, now: i64) -> String {
        Status { life: self, now }.to_string()
    }
}

/// The text of `Life::text`, for who writes many of them.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Status<'a> {
    pub life: &'a Life,
    pub now: i64,
}

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let life = self.life;
        let age = |since: Option<i64>| Age(since.map(|t| (self.now - t) / 1_000_000_000));
        match life.word() {
            "paused" => write!(f, "Up {} (Paused)", age(life.started)),
            "restarting" => write!(f, "Restarting ({}) {} ago", life.exit_code, age(life.finished)),
            "running" => {
                write!(f, "Up {}", age(life.started))?;
                match life.health.as_str() {
                    "" => Ok(()),
                    "starting" => f.write_str(" (health: starting)"),
                    word => write!(f, " ({word})"),
                }
            }
            "dead" => f.write_str("Dead"),
            "created" => f.write_str("Created"),
            _ if life.finished.is_none() => Ok(()),
            _ => write!(f, "Exited ({}) {} ago", life.exit_code, age(life.finished)),
        }
    }
}

/// The age in a text such as `Up 5 minutes (healthy)`, in seconds: the reverse of `Age`.
fn seconds(text: &str) -> Option<i64> {
    const UNITS: [(&str, i64); 7] = [
        ("second", 1),
        ("minute", 60),
        ("hour", 3600),
        ("day", 86_400),
        ("week", 7 * 86_400),
        ("month", 30 * 86_400),
        ("year", 365 * 86_400),
    ];
    let words: Vec<&str> = text.split(' ').collect();
    let (at, (_, unit)) = words.iter().enumerate().skip(1).find_map(|(at, word)| {
        UNITS.iter().find(|(unit, _)| word.trim_end_matches('s') == *unit).map(|unit| (at, *unit))
    })?;
    match words[at - 1] {
        "a" | "an" if words.contains(&"Less") => Some(0),
        "a" | "an" => Some(unit),
        number => number.parse::<i64>().ok().map(|n| n * unit),
    }
}

/// A number of seconds as engines word it; nothing if it is not known.
struct Age(Option<i64>);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        let Some(seconds) = self.0 else { return Ok(()) };
        match seconds {
            ..1 => f.write_str("Less than a second"),
            1 => f.write_str("1 second"),
            2..MINUTE => write!(f, "{seconds} seconds"),
            MINUTE..120 => f.write_str("About a minute"),
            120..HOUR => write!(f, "{} minutes", seconds / MINUTE),
            // Engines round hours to the nearest one, so 90 minutes are two hours.
            HOUR.. => match (seconds + HOUR / 2) / HOUR {
                1 => f.write_str("About an hour"),
                hours @ 2..48 => write!(f, "{hours} hours"),
                hours @ 48..336 => write!(f, "{} days", hours / 24),
                hours @ 336..1460 => write!(f, "{} weeks", hours / 24 / 7),
                hours @ 1460..17520 => write!(f, "{} months", hours / 24 / 30),
                _ => write!(f, "{} years", seconds / DAY / 365),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_engines_write_them() {
        let day = 86400;
        for (seconds, text) in [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (120, "2 minutes"),
            (3599, "59 minutes"),
            (3600, "About an hour"),
            (2 * 3600, "2 hours"),
            (47 * 3600, "47 hours"),
            (2 * day, "2 days"),
            (13 * day, "13 days"),
            (14 * day, "2 weeks"),
            (70 * day, "2 months"),
            (800 * day, "2 years"),
        ] {
            assert_eq!(Age(Some(seconds)).to_string(), text, "{seconds}");
        }
    }

    #[test]
    fn a_list_entry_tells_roughly() {
        let second = 1_000_000_000;
        let guess = |word, text| Life::guess(word, text, 1_000_000 * second);
        let up = guess("running", "Up 5 minutes (unhealthy)");
        assert_eq!((up.started, up.health.as_str()), (Some(999_700 * second), "unhealthy"));
        let gone = guess("exited", "Exited (137) About an hour ago");
        assert_eq!((gone.exit_code, gone.finished), (137, Some(996_400 * second)));
        assert_eq!(guess("running", "Up Less than a second").started, Some(1_000_000 * second));
        assert_eq!(guess("running", "Up 2 seconds (health: starting)").health, "starting");
        for (word, text) in [
            ("created", "Created"),
            ("paused", "Up 3 hours (Paused)"),
            ("exited", "Exited (0) 2 weeks ago"),
            ("dead", "Dead"),
            ("running", "Up 59 seconds (healthy)"),
        ] {
            let life = guess(word, text);
            assert_eq!((life.word(), life.text(1_000_000 * second).as_str()), (word, text));
        }
    }

    #[test]
    fn words_and_texts() {
        let second = 1_000_000_000;
        let up = Life { running: true, started: Some(0), ..Life::default() };
        assert_eq!((up.word(), up.text(5 * second)), ("running", "Up 5 seconds".to_string()));
        let sick = Life { health: "unhealthy".into(), ..up.clone() };
        assert_eq!(sick.text(5 * second), "Up 5 seconds (unhealthy)");
        let paused = Life { paused: true, ..up.clone() };
        assert_eq!(
            (paused.word(), paused.text(60 * second)),
            ("paused", "Up About a minute (Paused)".to_string())
        );
        let gone = Life { started: Some(0), finished: Some(second), exit_code: 137, ..Life::default() };
        assert_eq!(
            (gone.word(), gone.text(4 * second)),
            ("exited", "Exited (137) 3 seconds ago".to_string())
        );
        assert_eq!(Life::default().text(0), "Created");
    }
}
