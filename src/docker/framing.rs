//! Where an HTTP/1.1 answer begins and ends (RFC 9112): its head, and a body in chunks, of a known length, or until the
//! connection is closed. No I/O.
//!
//! It is *not* a client: hyper is, for whatever has an end. See [`super::endless`].

use bytes::BytesMut;
use hyper::StatusCode;
use hyper::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// The header of an engine's front (`agent::front`) that has no engine to pass a call on to; its value says why.
pub const FRONT_SAYS: &str = "x-swarmd-front";

/// Fields of a head at most. Engines send ten.
const MOST_FIELDS: usize = 100;
/// Bytes of a line that tells a chunk's size, or of all that follows the last chunk, at most.
const LONGEST_LINE: usize = 4 << 10;

/// What is wrong with an answer, in words.
pub type Malformed = String;

/// The beginning of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Its status.
    pub status: StatusCode,
    /// How its body goes on.
    pub body: Framing,
    /// Why an agent has no engine to pass the call on to: the header [`FRONT_SAYS`].
    pub front_says: Option<String>,
}

impl Head {
    /// Reads the head at the beginning of `bytes`, and how long it is; none if it is not complete yet.
    ///
    /// # Errors
    /// These are no head; or the body has a transfer coding that we did not ask for, such as gzip (hyper would carry it).
    pub fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let length = match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(e) => return Err(e.to_string()),
        };
        let status = head.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or("no status")?;
        let field = |name: &str| {
            let found = head.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
            Some(String::from_utf8_lossy(found.value).into_owned())
        };
        let body = match (field(TRANSFER_ENCODING.as_str()), field(CONTENT_LENGTH.as_str())) {
            _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => Framing::Length(0),
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Framing::Chunked(Chunk::START),
            (Some(coding), _) if coding.eq_ignore_ascii_case("identity") => Framing::UntilClosed,
            (Some(coding), _) => return Err(format!("unknown transfer coding {coding:?}")),
            (None, Some(length)) => Framing::Length(length.parse().map_err(|_| "malformed length")?),
            (None, None) => Framing::UntilClosed,
        };
        Ok(Some((Head { status, body, front_says: field(FRONT_SAYS) }, length)))
    }
}

/// How a body is told from what comes after it, and how far it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Framing {
    /// In chunks, each with its size before it.
    Chunked(Chunk),
    /// So many bytes are still to come.
    Length(u64),
    /// The connection's end is the body's.
    UntilClosed,
}

/// Where in a body of chunks we are.
#[derive(Debug, PartialEq, Eq)]
pub enum Chunk {
    /// In the line that tells the next one's size.
    Size {
        /// What its digits tell so far.
        size: u64,
        /// How long the line is.
        line: usize,
        /// Whether its digits are over.
        told: bool,
    },
    /// So many bytes are still to come.
    Data(u64),
    /// Before the line end that follows the data.
    AfterData,
    /// In the lines after the last chunk: how long they are, and whether this one is empty so far.
    Trailer(usize, bool),
    /// All is said.
    Over,
}

impl Chunk {
    const START: Chunk = Chunk::Size { size: 0, line: 0, told: false };
}

impl Framing {
    /// Appends what `bytes`, the next of the connection, hold of the body to `body`.
    ///
    /// # Errors
    /// These are no chunks. What comes after that means nothing.
    pub fn take(&mut self, mut bytes: &[u8], body: &mut BytesMut) -> Result<(), Malformed> {
        match self {
            Framing::UntilClosed => body.extend_from_slice(bytes),
            Framing::Length(left) => *left -= take_up_to(*left, &mut bytes, body),
            Framing::Chunked(chunk) => {
                while !bytes.is_empty() && *chunk != Chunk::Over {
                    chunk.step(&mut bytes, body)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the body is known to be whole. One until the connection's end never is.
    pub fn is_over(&self) -> bool {
        matches!(self, Framing::Length(0) | Framing::Chunked(Chunk::Over))
    }
}

impl Chunk {
    /// Takes a byte of a line, or as many as there are of the data.
    fn step(&mut self, bytes: &mut &[u8], body: &mut BytesMut) -> Result<(), Malformed> {
        if let Chunk::Data(left) = self {
            *left -= take_up_to(*left, bytes, body);
            if *left == 0 {
                *self = Chunk::AfterData;
            }
            return Ok(());
        }
        let byte = bytes[0];
        *bytes = &bytes[1..];
        match (&mut *self, byte) {
            (Chunk::Size { line: 0, .. }, b'\n') => return Err("a chunk without a size".into()),
            (Chunk::Size { size: 0, .. }, b'\n') => *self = Chunk::Trailer(0, true),
            (Chunk::Size { size, .. }, b'\n') => *self = Chunk::Data(*size),
            (Chunk::Size { size, line, told }, byte) => {
                match (byte as char).to_digit(16) {
                    Some(digit) if !*told => {
                        *size = size.checked_mul(16).ok_or("a chunk without an end")? + u64::from(digit);
                    }
                    None if *line == 0 => return Err("a chunk without a size".into()),
                    _ => *told = true, // An extension, or the \r.
                }
                *line += 1;
                bounded(*line)?;
            }
            (Chunk::AfterData, b'\r') => {}
            (Chunk::AfterData, b'\n') => *self = Chunk::START,
            (Chunk::AfterData, _) => return Err("a chunk longer than its size".into()),
            (Chunk::Trailer(_, true), b'\n') => *self = Chunk::Over,
            (Chunk::Trailer(length, empty), byte) => {
                *empty = byte == b'\n' || (*empty && byte == b'\r');
                *length += 1;
                bounded(*length)?;
            }
            (Chunk::Data(_) | Chunk::Over, _) => {}
        }
        Ok(())
    }
}

/// Moves `most` bytes at most; returns how many.
fn take_up_to(most: u64, bytes: &mut &[u8], body: &mut BytesMut) -> u64 {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    body.extend_from_slice(&bytes[..count]);
    *bytes = &bytes[count..];
    count as u64
}

fn bounded(line: usize) -> Result<(), Malformed> {
    if line > LONGEST_LINE { Err("an endless line between chunks".into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, and whether it is over, when the connection's bytes come in pieces of `piece`.
    fn read(answer: &[u8], piece: usize) -> Result<(StatusCode, String, bool), Malformed> {
        let (mut head, length) = Head::read(answer)?.expect("a whole head");
        let mut body = BytesMut::new();
        for bytes in answer[length..].chunks(piece) {
            head.body.take(bytes, &mut body)?;
        }
        Ok((head.status, String::from_utf8_lossy(&body).into_owned(), head.body.is_over()))
    }

    #[test]
    fn a_body_is_the_same_wherever_the_network_cuts_it() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                        4\r\n{\"a\"\r\n0a;x=1\r\n:1}\n{\"b\":2\r\n1\r\n}\r\n0\r\nt: 1\r\n\r\n";
        let sized = b"HTTP/1.1 500 Oh\r\nContent-Length: 4\r\n\r\noh no";
        let closed = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nuntil the end";
        for piece in 1..60 {
            assert_eq!(
                read(chunked, piece),
                Ok((StatusCode::OK, "{\"a\":1}\n{\"b\":2}".into(), true)),
                "{piece}"
            );
            assert_eq!(read(sized, piece), Ok((StatusCode::INTERNAL_SERVER_ERROR, "oh n".into(), true)));
            assert_eq!(read(closed, piece), Ok((StatusCode::OK, "until the end".into(), false)));
        }
        for cut in 1..5 {
            let whole = &chunked[..chunked.len() - cut];
            assert!(!read(whole, 7).expect("sound so far").2, "{cut} bytes are missing");
        }
    }

    #[test]
    fn a_head_is_waited_for_and_tells_what_an_agent_said() {
        let head = b"HTTP/1.1 503 no\r\nX-Swarmd-Front: asleep\r\nContent-Length: 0\r\n\r\n";
        for cut in 0..head.len() {
            assert_eq!(Head::read(&head[..cut]), Ok(None), "{cut}");
        }
        let (read, length) = Head::read(head).expect("sound").expect("whole");
        assert_eq!(
            (length, read.front_says.as_deref(), read.body.is_over()),
            (head.len(), Some("asleep"), true)
        );
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        assert!(Head::read(b"SSH-2.0-OpenSSH_9.2\r\n").is_err());
        assert!(Head::read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n").is_err());
        assert!(Head::read(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n").is_err());
        assert!(read(b"HTTP/1.1 204 OK\r\n\r\n", 1).is_ok_and(|(_, body, over)| body.is_empty() && over));
        let chunks =
            |body: &[u8]| read(&[b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body].concat(), 9);
        for body in [&b"\r\n"[..], b"x\r\n", b"1\r\nab\r\n", b"fffffffffffffffff\r\n"] {
            assert!(chunks(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
        assert!(chunks(&[b"1;", &[b'x'; 5000][..]].concat()).is_err());
        assert!(chunks(&[b"0\r\nt: ", &[b'x'; 5000][..]].concat()).is_err());
        assert!(chunks(&[&b"0\r\n"[..], &b"t: x\r\n".repeat(1000)].concat()).is_err());
    }
}
