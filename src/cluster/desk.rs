//! Where the operator's book is kept: `nodes.json` in the state directory. Everybody reads it; one change at a
//! time is made, and counts only once it is on disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use futures_util::future::BoxFuture;

use crate::cluster::members::Cluster;
use crate::cluster::orders::Book;
use crate::error::{Error, Kind, Result};
use crate::state_file;

/// Name of the file in the state directory.
pub const FILE_NAME: &str = "nodes.json";
const WHAT: &str = "what the operator said about nodes";

/// The other managers, who are to know the book, too.
pub trait Others: Send + Sync + 'static {
    /// Ends when what was said before, elsewhere, is in our book.
    fn ask(&self) -> BoxFuture<'_, Result<()>>;
    /// Ends when our book is where they read it.
    fn tell(&self) -> BoxFuture<'_, Result<()>>;
}

/// The book and its place.
pub struct Desk {
    path: PathBuf,
    book: RwLock<Arc<Book>>,
    writing: Mutex<()>,
    others: OnceLock<Arc<dyn Others>>,
}

impl Desk {
    /// Reads the book in `state_dir`; a missing one is empty.
    ///
    /// Errors: a file that is there and cannot be read or understood. It is left as it is.
    pub fn open(state_dir: &Path) -> Result<Desk> {
        let path = state_dir.join(FILE_NAME);
        let book = match state_file::load(&path, WHAT)? {
            Some(bytes) => Book::parse(&bytes).map_err(|why| damaged(&path, &why))?,
            None => Book::default(),
        };
        let book = RwLock::new(Arc::new(book));
        Ok(Desk { path, book, writing: Mutex::default(), others: OnceLock::new() })
    }

    /// From now on nothing changes without the others.
    pub fn share(&self, others: Arc<dyn Others>) {
        let _ = self.others.set(others);
    }

    /// The book as it stands.
    pub fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes one change. Blocks on the disk.
    fn write(&self, change: impl FnOnce(&mut Book)) -> Result<()> {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.book();
        let mut book = Book::clone(&before);
        change(&mut book);
        if book != *before {
            state_file::save(&self.path, WHAT, &book.render()?)?;
            *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
        }
        Ok(())
    }
}

impl Cluster {
    /// Changes the operator's book. When this returns, the change is on disk, in the view, and known to other
    /// managers. It happens as a whole even if the caller goes away meanwhile.
    pub async fn order(self: &Arc<Self>, change: impl FnOnce(&mut Book) + Send + 'static) -> Result<()> {
        let Some(others) = self.desk().others.get().cloned() else { return self.write_order(change).await };
        let cluster = Arc::clone(self);
        let ordered = tokio::spawn(async move {
            others.ask().await?;
            cluster.write_order(change).await?;
            others.tell().await
        });
        ordered.await.unwrap_or_else(|e| Err(Error::us(Kind::Internal, e.to_string())))
    }

    /// Takes over the book of another manager.
    pub async fn adopt(self: &Arc<Self>, other: Book) -> Result<()> {
        self.write_order(move |book| *book = other).await
    }

    async fn write_order(self: &Arc<Self>, change: impl FnOnce(&mut Book) + Send + 'static) -> Result<()> {
        let cluster = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            cluster.desk().write(change)?;
            cluster.refold();
            Ok(())
        });
        written.await.unwrap_or_else(|e| Err(Error::us(Kind::Internal, e.to_string())))
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    let path = path.display();
    Error::us(Kind::Config, format!("{path} ({WHAT}) is damaged: {why}")).advise(format!(
        "put back a copy, or move it away (mv {path} {path}.damaged): pauses and labels of `swarmd node` are \
         lost then and must be set anew"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cluster::orders::Entry;
    use crate::engine::Availability;

    fn pause(book: &mut Book) {
        let node = Entry { id: "ID".into(), ..Entry::default() };
        book.change(&node, |o| o.set_availability(Availability::Paused, "", 1));
    }

    #[test]
    fn changes_survive_and_failed_ones_do_not_count() {
        let home = tempfile::tempdir().unwrap();
        let desk = Desk::open(home.path()).unwrap();
        desk.write(pause).unwrap();
        assert_eq!(Desk::open(home.path()).unwrap().book(), desk.book());
        let before = desk.book();
        fs::remove_file(home.path().join(FILE_NAME)).unwrap();
        desk.write(pause).unwrap();
        assert!(!home.path().join(FILE_NAME).exists(), "nothing new, nothing written");
        fs::create_dir(home.path().join(FILE_NAME)).unwrap();
        assert!(desk.write(|book| book.forget("ID")).is_err());
        assert_eq!(desk.book(), before);
    }

    #[test]
    fn damage_is_named_and_the_file_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FILE_NAME);
        fs::write(&path, "{").unwrap();
        let error = Desk::open(home.path()).err().unwrap();
        assert_eq!(error.kind, Kind::Config);
        assert!(error.advice.unwrap().contains("mv "));
        assert_eq!(fs::read_to_string(&path).unwrap(), "{");
    }
}
