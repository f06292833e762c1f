//! The state of a container in words: `State` of list entries, and the `Status` text with its ages.

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
        let age = |since: Option<i64>| since.map(|t| duration((now - t) / 1_000_000_000));
        match self.word() {
            "paused" => format!("Up {} (Paused)", age(self.started).unwrap_or_default()),
            "restarting" => {
                format!("Restarting ({}) {} ago", self.exit_code, age(self.finished).unwrap_or_default())
            }
            "running" => format!("Up {}{}", age(self.started).unwrap_or_default(), self.health_suffix()),
            "dead" => "Dead".to_string(),
            "created" => "Created".to_string(),
            _ => age(self.finished)
                .map_or_else(String::new, |d| format!("Exited ({}) {d} ago", self.exit_code)),
        }
    }

    fn health_suffix(&self) -> String {
        match self.health.as_str() {
            "" => String::new(),
            "starting" => " (health: starting)".to_string(),
            word => format!(" ({word})"),
        }
    }
}

/// A number of seconds as engines word it.
pub fn duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    match seconds {
        ..1 => "Less than a second".into(),
        1 => "1 second".into(),
        2..MINUTE => format!("{seconds} seconds"),
        MINUTE..120 => "About a minute".into(),
        120..HOUR => format!("{} minutes", seconds / MINUTE),
        // Engines round hours to the nearest one, so 90 minutes are two hours.
        HOUR.. => match (seconds + HOUR / 2) / HOUR {
            1 => "About an hour".into(),
            hours @ 2..48 => format!("{hours} hours"),
            hours @ 48..336 => format!("{} days", hours / 24),
            hours @ 336..1460 => format!("{} weeks", hours / 24 / 7),
            hours @ 1460..17520 => format!("{} months", hours / 24 / 30),
            _ => format!("{} years", seconds / DAY / 365),
        },
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
            assert_eq!(duration(seconds), text, "{seconds}");
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
