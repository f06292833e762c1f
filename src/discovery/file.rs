//! `file://`: one pattern per line, read again at each heartbeat. A missing file is an error each time, and
//! picked up when it appears.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;

use crate::discovery::{Entry, entry, range};
use crate::error::{Error, Kind, Result, Side};

/// Largest file that is read: 65,536 long lines. More is a wrong path.
const LARGEST_FILE: u64 = 8 << 20;

/// A file of entries.
#[derive(Debug, Clone)]
pub struct File {
    path: PathBuf,
}

impl File {
    /// The list in `path`; a relative path is relative to the working directory.
    pub fn new(path: &Path) -> File {
        File { path: path.to_path_buf() }
    }

    /// Reads the file. One malformed line is an error of the whole list.
    pub async fn list(&self) -> Result<Vec<Entry>> {
        let text = self.read().await.map_err(|e| self.unreadable(&e))?;
        parse(&text).map_err(|e| Error { message: format!("{}: {}", self.path.display(), e.message), ..e })
    }

    async fn read(&self) -> io::Result<String> {
        let metadata = tokio::fs::metadata(&self.path).await?;
        // A FIFO would block the read for ever.
        if !metadata.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut text = String::new();
        let file = tokio::fs::File::open(&self.path).await?;
        let read = file.take(LARGEST_FILE + 1).read_to_string(&mut text).await?;
        match read as u64 > LARGEST_FILE {
            true => Err(io::Error::other("larger than 8 MiB")),
            false => Ok(text),
        }
    }

    /// The classic text, which spells the reason as Go does.
    fn unreadable(&self, error: &io::Error) -> Error {
        let path = self.path.display();
        let why = match error.kind() {
            io::ErrorKind::NotFound => "no such file or directory".to_string(),
            io::ErrorKind::PermissionDenied => "permission denied".to_string(),
            _ => error.to_string(),
        };
        let kind = match error.kind() {
            io::ErrorKind::PermissionDenied => Kind::Permission,
            io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Invalid,
        };
        Error::store(kind, format!("failed to read '{path}': open {path}: {why}"))
    }
}

/// Reads the content: `#` starts a comment, blank lines are skipped, no commas.
pub fn parse(text: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let pattern = line.split_once('#').map_or(line, |(before, _)| before).trim();
        if pattern.is_empty() {
            continue;
        }
        read_line(pattern, &mut entries).map_err(|e| Error {
            side: Side::Store,
            message: format!("line {}: {}", index + 1, e.message),
            ..e
        })?;
    }
    Ok(entries)
}

fn read_line(pattern: &str, entries: &mut Vec<Entry>) -> Result<()> {
    let mut expanded = Vec::new();
    range::expand_into(pattern, &mut expanded)?;
    if entries.len() + expanded.len() > range::MOST_ENTRIES {
        let message = format!("the list is longer than {} entries", range::MOST_ENTRIES);
        return Err(Error::client(Kind::Invalid, message));
    }
    for text in &expanded {
        entries.push(entry::parse(text)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(entries: &[Entry]) -> Vec<String> {
        entries.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn comments_blanks_and_line_ends() {
        let text =
            "\u{feff}# head\r\n  10.0.0.1:2375  \r\n\n10.0.0.[2:3]:2375 # two of them\n   # x\nunix:///s";
        assert_eq!(
            printed(&parse(text).unwrap()),
            ["10.0.0.1:2375", "10.0.0.2:2375", "10.0.0.3:2375", "unix:///s"]
        );
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn one_bad_line_spoils_the_list_and_is_named() {
        let error = parse("a:1\n\nbadline\n").unwrap_err();
        assert_eq!(error.message, "line 3: address badline: missing port in address");
        assert_eq!(error.side, Side::Store);
        assert!(parse("h[1:65536]:1\nx:1").is_err());
    }

    #[tokio::test]
    async fn a_missing_file_is_named_and_picked_up_when_it_appears() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes");
        let file = File::new(&path);
        let shown = path.display();
        assert_eq!(
            file.list().await.unwrap_err().message,
            format!("failed to read '{shown}': open {shown}: no such file or directory")
        );
        std::fs::write(&path, "a:1\n").unwrap();
        assert_eq!(printed(&file.list().await.unwrap()), ["a:1"]);
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(file.list().await.unwrap_err().message.starts_with(&format!("{shown}: line 1: ")));
        assert!(File::new(dir.path()).list().await.is_err());
    }
}
