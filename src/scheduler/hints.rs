//! What users tell the scheduler with `-e constraint:…` and the like, and where it is stored: in labels of
//! the namespace `com.docker.swarm`, so that it survives a manager and is understood by older ones.
//!
//! It moves texts from the environment into labels. It does *not* parse expressions: a bad one shows when
//! nodes are filtered, as ever.

use crate::docker::types::Labels;
use crate::engine::container::RESCHEDULE;
use crate::error::{Error, Kind, Result};

/// Words before the `:` of an environment entry, and the labels that hold the rest as a JSON array.
const KINDS: [(&str, &str); 4] = [
    ("affinity", "com.docker.swarm.affinities"),
    ("constraint", "com.docker.swarm.constraints"),
    ("whitelist", "com.docker.swarm.whitelists"),
    ("reschedule", RESCHEDULE),
];

/// The texts of each kind: those of the label first, then those of the environment, nothing removed twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Hints {
    pub affinities: Vec<String>,
    pub constraints: Vec<String>,
    pub whitelists: Vec<String>,
    pub reschedule: Vec<String>,
}

impl Hints {
    /// Takes the hints out of `env` and writes all of them to `labels`. A label that is no JSON array of
    /// texts counts as empty, and stays as it is unless there is something to write.
    pub fn extract(env: &mut Vec<String>, labels: &mut Labels) -> Hints {
        let mut hints = Hints::default();
        for (word, label) in KINDS {
            let list = hints.list(word);
            let stored = labels.get(label);
            *list = stored.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
            env.retain(|entry| match entry.split_once(':') {
                Some((w, rest)) if w == word => {
                    list.push(rest.to_string());
                    false
                }
                _ => true,
            });
            if !list.is_empty() {
                labels.insert(label.to_string(), serde_json::to_string(list).unwrap_or_default());
            }
        }
        hints
    }

    /// Whether anything was said about where to go.
    pub fn any(&self) -> bool {
        !(self.affinities.is_empty() && self.constraints.is_empty() && self.whitelists.is_empty())
    }

    /// At most one reschedule policy, and a known one.
    pub fn check(&self) -> Result<()> {
        let refused = |text: String| {
            Err(Error::client(Kind::Invalid, text).advise("use `off` or `on-node-failure`, once"))
        };
        match self.reschedule.as_slice() {
            [] => Ok(()),
            [one] if matches!(one.as_str(), "off" | "on-node-failure") => Ok(()),
            [one] => refused(format!("invalid reschedule policy: {one}")),
            _ => refused("too many reschedule policies".into()),
        }
    }

    fn list(&mut self, word: &str) -> &mut Vec<String> {
        match word {
            "affinity" => &mut self.affinities,
            "constraint" => &mut self.constraints,
            "whitelist" => &mut self.whitelists,
            _ => &mut self.reschedule,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(env: &[&str], labels: &[(&str, &str)]) -> (Hints, Vec<String>, Labels) {
        let mut env: Vec<String> = env.iter().map(|e| e.to_string()).collect();
        let mut labels: Labels = labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let hints = Hints::extract(&mut env, &mut labels);
        (hints, env, labels)
    }

    #[test]
    fn env_entries_move_behind_those_of_the_label() {
        let (hints, env, labels) = extract(
            &[
                "A=1",
                "constraint:x==y",
                "Constraint:x==z",
                "constraint:",
                "constraint",
                "affinity:image==a:b",
            ],
            &[("com.docker.swarm.constraints", r#" ["node==n", "x==y"]"#), ("Mine", "1"), ("mine", "2")],
        );
        assert_eq!(env, ["A=1", "Constraint:x==z", "constraint"]);
        assert_eq!(hints.constraints, ["node==n", "x==y", "x==y", ""]);
        assert_eq!(hints.affinities, ["image==a:b"]);
        assert_eq!(labels["com.docker.swarm.constraints"], r#"["node==n","x==y","x==y",""]"#);
        assert_eq!(labels["com.docker.swarm.affinities"], r#"["image==a:b"]"#);
        assert_eq!(labels.len(), 4);
    }

    #[test]
    fn an_unreadable_label_stays_until_something_is_written() {
        let broken = [("com.docker.swarm.whitelists", "n1|n2")];
        let (hints, _, labels) = extract(&[], &broken);
        assert_eq!(hints, Hints::default());
        assert_eq!(labels["com.docker.swarm.whitelists"], "n1|n2");
        let (_, _, labels) = extract(&["whitelist:node==n3"], &broken);
        assert_eq!(labels["com.docker.swarm.whitelists"], r#"["node==n3"]"#);
    }

    #[test]
    fn reschedule_policies() {
        let check = |env: &[&str]| extract(env, &[]).0.check().map_err(|e| (e.kind, e.message));
        assert!(check(&[]).is_ok());
        assert!(check(&["reschedule:off"]).is_ok());
        assert!(check(&["reschedule:on-node-failure"]).is_ok());
        let invalid = (Kind::Invalid, "invalid reschedule policy: on".to_string());
        assert_eq!(check(&["reschedule:on"]).unwrap_err(), invalid);
        let many = (Kind::Invalid, "too many reschedule policies".to_string());
        assert_eq!(check(&["reschedule:off", "reschedule:off"]).unwrap_err(), many);
    }
}
