//! Where the book is kept: `rescheduler.json` in the state directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::book::Book;
use crate::error::{Error, Kind, Result};
use crate::state_file;

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "rescheduler.json";
const WHAT: &str = "how containers are made anew";
/// Changes that may be lost without harm are written no oftener than this.
const RARELY: Duration = Duration::from_secs(1);

/// The file, and when it was written.
pub struct Shelf {
    path: PathBuf,
    written: Option<Instant>,
    dirty: bool,
    complained: bool,
}

impl Shelf {
    /// Reads the book in `state_dir`; a missing one is empty. A damaged one is set aside: engines tell most of
    /// what was in it as soon as they answer.
    pub fn open(state_dir: &Path) -> Result<(Shelf, Book)> {
        let path = state_dir.join(FILE_NAME);
        let book = match state_file::load(&path, WHAT)? {
            None => Book::default(),
            Some(bytes) => Book::parse(&bytes).unwrap_or_else(|why| {
                let aside = path.with_extension("json.damaged");
                let moved = std::fs::rename(&path, &aside);
                tracing::error!(
                    "{} ({WHAT}) is damaged: {why}; {}. Containers of nodes that are down now do not move",
                    path.display(),
                    moved.map_or_else(|e| e.to_string(), |()| format!("set aside as {}", aside.display()))
                );
                Book::default()
            }),
        };
        Ok((Shelf { path, written: None, dirty: false, complained: false }, book))
    }

    /// There is something to write.
    pub fn touch(&mut self) {
        self.dirty = true;
    }

    /// Writes the book if it has changed: at once if that is `urgent`, else not too often. Trouble is told once;
    /// the next change tries again.
    pub async fn keep(&mut self, book: &Book, urgent: bool) {
        let fresh = self.written.is_some_and(|at| at.elapsed() < RARELY);
        if !self.dirty || (fresh && !urgent) {
            return;
        }
        self.written = Some(Instant::now());
        let (path, text) = (self.path.clone(), book.render());
        let saved = tokio::task::spawn_blocking(move || state_file::save(&path, WHAT, &text?)).await;
        let saved = saved.unwrap_or_else(|e| Err(Error::us(Kind::Internal, e.to_string())));
        self.dirty = saved.is_err();
        match saved {
            Err(error) if !self.complained => tracing::error!(KIND = error.kind.word(), "{error}"),
            Ok(()) if self.complained => tracing::info!("{WHAT} can be saved again"),
            _ => {}
        }
        self.complained = self.dirty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_kept_is_found_and_damage_is_set_aside() {
        let home = tempfile::tempdir().unwrap();
        let (mut shelf, book) = Shelf::open(home.path()).unwrap();
        shelf.keep(&book, true).await;
        assert!(!home.path().join(FILE_NAME).exists(), "nothing new, nothing written");
        shelf.touch();
        shelf.keep(&book, false).await;
        assert!(Shelf::open(home.path()).is_ok());
        std::fs::write(home.path().join(FILE_NAME), "{").unwrap();
        let (_, book) = Shelf::open(home.path()).unwrap();
        assert!(book.records.is_empty());
        assert!(home.path().join("rescheduler.json.damaged").exists());
    }
}
