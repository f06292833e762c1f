//! A socket that is read ahead of what is asked for: below TLS.
//!
//! rustls asks for 4 KiB at a time, which would be four calls of the kernel for each of its records, and thousands for
//! each layer of an image. Writes pass as they come: rustls hands over many records at once.

use tokio::io::BufReader;
use tokio::net::TcpStream;

/// Bytes read at once: two records, for each connection.
pub const AHEAD: usize = 36 << 10;
/// The same where there are many connections, and little comes over each.
pub const LITTLE_AHEAD: usize = 4 << 10;

/// The socket.
pub type Ahead = BufReader<TcpStream>;

/// Reads a new connection ahead, so many bytes.
pub fn ahead(tcp: TcpStream, bytes: usize) -> Ahead {
    BufReader::with_capacity(bytes, tcp)
}
