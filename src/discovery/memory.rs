//! The last members, kept over a restart of the manager: `members.json` in the state directory. A manager that starts
//! while its store is down or blank goes on with the nodes that it knew.
//!
//! Only what a store tells is kept: lists that people write, and the registry of this process, are read from the disk
//! at the next start anyway. What was kept for another discovery URL is worth nothing.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

use crate::discovery::roster::{Proof, Roster};
use crate::discovery::{Entry, entry};
use crate::error::{Error, Kind, Result};
use crate::state_file;

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "members.json";
const WHAT: &str = "the last list of engines";
/// The only version so far.
const VERSION: u32 = 1;

/// The file, and what is in it.
pub struct Memory {
    path: PathBuf,
    /// The SHA-256 of the URL, which may hold a token.
    scope: String,
    kept: Option<Document>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Document {
    version: u32,
    discovery_sha256: String,
    /// The mark of the store, if it had one.
    mark: Option<String>,
    entries: Vec<String>,
}

impl Memory {
    /// For the list behind `url`, in `state_dir`. Nothing is read yet.
    pub fn of(state_dir: &Path, url: &str) -> Memory {
        let hash = digest(&SHA256, url.as_bytes());
        let scope = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Memory { path: state_dir.join(FILE_NAME), scope, kept: None }
    }

    /// What was kept at the last save: who were members, and what their list said of itself. A damaged file, or that
    /// of another list, is none: the store tells again what matters.
    pub fn load(&mut self) -> Result<Option<(Vec<Entry>, Proof)>> {
        let Some(bytes) = state_file::load(&self.path, WHAT)? else { return Ok(None) };
        let document: Document = serde_json::from_slice(&bytes).map_err(|why| damaged(&self.path, &why))?;
        if document.version != VERSION || document.discovery_sha256 != self.scope {
            return Ok(None);
        }
        let (entries, _) = entry::parse_all(document.entries.iter().cloned());
        let proof = Proof::Life(document.mark.clone());
        self.kept = Some(document);
        Ok((!entries.is_empty()).then_some((entries, proof)))
    }

    /// What is to be written, if that differs from what was.
    pub fn news(&self, roster: &Roster) -> Option<Page> {
        let (entries, proof) = roster.memory()?;
        let Proof::Life(mark) = proof else { return None };
        let mut entries: Vec<String> = entries.into_iter().map(ToString::to_string).collect();
        entries.sort_unstable();
        let document =
            Document { version: VERSION, discovery_sha256: self.scope.clone(), mark: mark.clone(), entries };
        (self.kept.as_ref() != Some(&document)).then(|| Page { path: self.path.clone(), document })
    }

    /// This was written.
    pub fn saved(&mut self, page: Page) {
        self.kept = Some(page.document);
    }
}

/// What is to be written, and where.
#[derive(Clone)]
pub struct Page {
    path: PathBuf,
    document: Document,
}

impl Page {
    /// Replaces the file. Blocks on the disk.
    pub fn save(&self) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.document)
            .map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
        state_file::save(&self.path, WHAT, &bytes)
    }
}

fn damaged(path: &Path, why: &serde_json::Error) -> Error {
    Error::us(Kind::Config, format!("{} ({WHAT}) is damaged: {why}", path.display()))
        .advise("starting without it; it is written anew when discovery answers")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::discovery::roster::Terms;

    fn roster() -> Roster {
        Roster::new(Terms { ttl: Duration::from_secs(180), moment: Duration::from_secs(5) })
    }

    fn entries(texts: &[&str]) -> Vec<Entry> {
        texts.iter().map(|text| entry::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_blank_store_after_a_restart_proves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let mut memory = Memory::of(home.path(), "etcd://h/p");
        assert_eq!(memory.load().unwrap(), None);
        let mut before = roster();
        let mark = Proof::Life(Some("m1".into()));
        before.delivered(&entries(&["b:1", "a:1"]), &mark, Duration::ZERO);
        let page = memory.news(&before).unwrap();
        page.save().unwrap();
        memory.saved(page);
        assert!(memory.news(&before).is_none(), "nothing new, nothing to write");

        assert_eq!(Memory::of(home.path(), "etcd://other/p").load().unwrap(), None, "another list");
        let (known, proof) = Memory::of(home.path(), "etcd://h/p").load().unwrap().unwrap();
        let mut after = roster();
        after.recall(known.clone(), proof.clone());
        assert_eq!((after.len(), after.kept()), (2, 0));
        // The same store, and one has left meanwhile: it is out.
        let left = after.delivered(&entries(&["a:1"]), &mark, Duration::ZERO);
        assert_eq!((left.removed, left.added), (entries(&["b:1"]), vec![]));
        // Another life of the store, and nobody in it: all stay, as long as they answer.
        let mut after = roster();
        after.recall(known, proof);
        let blank = after.delivered(&[], &Proof::Life(Some("m2".into())), Duration::ZERO);
        assert_eq!((blank.removed.len(), after.len(), after.kept()), (0, 2, 2));
        let out = after.settle(Duration::from_secs(180), |entry| entry.to_string() == "a:1");
        assert_eq!(out, entries(&["b:1"]), "who does not answer is out a ttl later");
    }

    #[test]
    fn what_is_damaged_is_told_and_what_people_write_is_not_kept() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(FILE_NAME), "{").unwrap();
        let mut memory = Memory::of(home.path(), "etcd://h/p");
        assert!(memory.load().unwrap_err().message.contains("is damaged"));
        let mut written = roster();
        written.delivered(&entries(&["a:1"]), &Proof::Final, Duration::ZERO);
        assert!(memory.news(&written).is_none());
    }
}
