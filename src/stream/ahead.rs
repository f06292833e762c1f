//! A socket that is read ahead of what is asked for: below TLS.
//!
//! rustls asks for 4 KiB at a time, which would be four calls of the kernel for each of its records, and thousands for
//! each layer of an image. Writes pass as they come: rustls hands over many records at once.

use tokio::io::BufReader;
use tokio::net::TcpStream;

/// Read at once: two records, for each connection.
const AHEAD: usize = 36 << 10;

/// The socket.
pub type Ahead = BufReader<TcpStream>;

/// Reads a new connection ahead.
pub fn ahead(tcp: TcpStream) -> Ahead {
    BufReader::with_capacity(AHEAD, tcp)
}
