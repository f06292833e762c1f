//! A value made from files, and made anew when they change.
//!
//! It looks when it is used: a handshake asks for the state of two or three files, which takes microseconds. So there
//! is no task, no interval and no notice to be missed. New files that cannot be used (half written, say, or a key
//! without its certificate) leave the old value in place; that is said once, and tried again at the next change.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::error::Result;

/// The value, its files, and how to make it.
pub struct Fresh<T> {
    /// What it is, for the log.
    name: &'static str,
    files: Vec<PathBuf>,
    make: Box<dyn Fn() -> Result<T> + Send + Sync>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: T,
    seen: Vec<Stamp>,
}

/// Inode, size, seconds and nanoseconds of the last change; `None` while the file is not there.
type Stamp = Option<(u64, u64, i64, i64)>;

impl<T: Clone> Fresh<T> {
    /// Makes the value for the first time.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn new(
        files: Vec<PathBuf>,
        make: impl Fn() -> Result<T> + Send + Sync + 'static,
    ) -> Result<Fresh<T>> {
        // Before reading: a change in between is then seen as one.
        let seen = stamps(&files);
        let state = Mutex::new(State { value: make()?, seen });
        Ok(Fresh { name: "certificates", files, make: Box::new(make), state })
    }

    /// Under this name in the log, instead of as certificates.
    #[must_use]
    pub fn called(self, name: &'static str) -> Fresh<T> {
        Fresh { name, ..self }
    }

    /// The value for the files as they are now, else the last that could be made.
    pub fn get(&self) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = stamps(&self.files);
        if seen != state.seen {
            let names: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
            match (self.make)() {
                Ok(value) => {
                    state.value = value;
                    tracing::info!("{} reloaded: {}", self.name, names.join(", "));
                }
                Err(error) => {
                    tracing::error!("{} changed, but the old ones stay in use: {error}", self.name);
                }
            }
            state.seen = seen;
        }
        state.value.clone()
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file| {
        let meta = fs::metadata(file).ok()?;
        Some((meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec()))
    };
    files.iter().map(stamp).collect()
}
