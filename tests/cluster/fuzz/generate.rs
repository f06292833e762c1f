//! Makes requests out of chance: mostly right in most respects, so that they get far, and wrong in one or two.

use fastrand::Rng;

use super::words::{
    BAD_CHUNKS, BODIES, FILTERS, FRAMINGS, HEADERS, HIDDEN, METHODS, NAMES, PATHS, VERSIONS, WEDGES,
};

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    Close,
    Reset,
    /// Our direction first; then the other side has to close.
    Finish,
}

/// What is sent on one connection.
#[derive(Debug)]
pub struct Script {
    /// Bytes, in the portions in which they are sent.
    pub pieces: Vec<Vec<u8>>,
    /// If every request is well-formed and has an end: whether each is a HEAD. So many answers must come.
    pub due: Option<Vec<bool>>,
    pub end: End,
    /// Whether an endless answer may have been asked for.
    pub streams: bool,
    /// Milliseconds to wait for the rest before silence counts.
    pub patience: u64,
    /// The marks of its requests with method and target.
    pub sent: Vec<(String, String, Vec<u8>)>,
}

impl Script {
    pub fn shown(&self) -> String {
        let all = self.pieces.concat();
        let text = all[..all.len().min(3000)].escape_ascii().to_string();
        format!("{:?} {text}", self.end)
    }
}

fn pick<'a, T: ?Sized>(random: &mut Rng, all: &[&'a T]) -> &'a T {
    all[random.usize(..all.len())]
}

fn often(random: &mut Rng, percent: u32) -> bool {
    random.u32(..100) < percent
}

/// One request and what is known of it.
struct Made {
    bytes: Vec<u8>,
    method: String,
    target: Vec<u8>,
    /// Well-formed: an answer is due.
    sound: bool,
    streams: bool,
}

fn query(random: &mut Rng) -> Vec<u8> {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let text = match random.u32(..10) {
        0..=4 => format!("all=1&filters={}", encoded(pick(random, &FILTERS))),
        5 => format!("filters={}", encoded(&"[".repeat(random.usize(..3000)))),
        6 => format!(
            "filters={}",
            encoded(&format!("{{\"name\":[{}\"\"]}}", "\"a\",".repeat(random.usize(..2000))))
        ),
        7 => format!("limit={}&size=1&before=none", random.i64(..)),
        8 => "since=1e309&until=nan&until=-1".to_string(),
        _ => "x=%&=&&&y=%ff%00&t=a%2fb&t=c&name=%2e%2e%2fx".to_string(),
    };
    text.into_bytes()
}

fn target(random: &mut Rng) -> Vec<u8> {
    let mut path: Vec<u8> = pick(random, &PATHS).as_bytes().to_vec();
    while let Some(at) = path.windows(2).position(|w| w == b"{}") {
        path.splice(at..at + 2, pick(random, &NAMES).bytes());
    }
    if often(random, 30) {
        for _ in 0..random.usize(1..4) {
            let mut parts: Vec<Vec<u8>> = path.split(|b| *b == b'/').map(<[u8]>::to_vec).collect();
            parts.insert(random.usize(..=parts.len()), pick(random, &WEDGES).to_vec());
            path = parts.join(&b'/');
        }
    }
    if often(random, 2) {
        path.extend(std::iter::repeat_n(b'x', random.usize(..70_000)));
    }
    let mut target = match random.u32(..40) {
        0 => b"http://127.0.0.1:1/".to_vec(),
        1 => b"http://web@other:99999/".to_vec(),
        2 => b"https://other/".to_vec(),
        3 => return b"*".to_vec(),
        4 => return b"127.0.0.1:2375".to_vec(),
        5 => b"//".to_vec(),
        6 => b"".to_vec(),
        _ => [pick(random, &VERSIONS), "/"].concat().into_bytes(),
    };
    target.extend(path);
    if often(random, 35) {
        target.push(if target.contains(&b'?') { b'&' } else { b'?' });
        target.extend(query(random));
    }
    target
}

/// Whether an engine may answer without an end: no answer can be waited for.
fn endless(target: &[u8]) -> bool {
    let text = String::from_utf8_lossy(target).to_lowercase();
    ["events", "attach", "logs", "stats", "wait", "start", "grpc", "session"].iter().any(|w| text.contains(w))
}

fn request(random: &mut Rng, mark: &str) -> Made {
    let (method, target) = (pick(random, &METHODS).to_string(), target(random));
    let hidden = format!("POST /swarm/leave HTTP/1.1\r\nHost: x\r\nX-Mark: {HIDDEN}\r\n\r\n");
    let mut sound = true;
    let mut bytes = format!("{method} ").into_bytes();
    bytes.extend(&target);
    match random.u32(..50) {
        0 => {
            sound = false;
            bytes.extend(b" HTTP/1.0\r\nConnection: keep-alive\r\n");
        }
        1 => {
            sound = false;
            bytes.extend(pick(random, &[b"".as_slice(), b" HTTP/9.9", b" HTTP/2.0", b"  HTTP/1.1 "]));
            bytes.extend(b"\r\n");
        }
        _ => bytes.extend(b" HTTP/1.1\r\n"),
    }
    if !often(random, 3) {
        bytes.extend(b"Host: test\r\n");
    }
    bytes.extend(format!("X-Mark: {mark}\r\n").bytes());
    for _ in 0..random.usize(..3) {
        bytes.extend(pick(random, &HEADERS).bytes().chain(*b"\r\n"));
    }
    if often(random, 2) {
        let size = random.usize(..200_000);
        bytes.extend(b"X-Large: ".iter().copied().chain(std::iter::repeat_n(b'x', size)).chain(*b"\r\n"));
    }
    if often(random, 2) {
        (0..random.usize(..200)).for_each(|i| bytes.extend(format!("X-{i}: {i}\r\n").bytes()));
    }
    if often(random, 2) {
        bytes.extend(pick(
            random,
            &[
                b"X-Fold: a\r\n b\r\n".as_slice(),
                b"X\x00Y: z\r\n",
                b": empty\r\n",
                b"no colon\r\n",
                b"X-CR: a\rb\r\n",
            ],
        ));
        sound = false;
    }
    let body = match random.u32(..3) {
        0 => hidden.clone(),
        _ => pick(random, &BODIES).to_string(),
    };
    match random.u32(..100) {
        0..=44 => bytes.extend(b"\r\n"),
        45..=69 => bytes.extend(format!("Content-Length: {}\r\n\r\n{body}", body.len()).bytes()),
        70..=84 => {
            let (a, b) = body.split_at(body.len() / 2);
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for part in [a, b].iter().filter(|p| !p.is_empty()) {
                bytes.extend(format!("{:x}\r\n{part}\r\n", part.len()).bytes());
            }
            bytes.extend(b"0\r\n\r\n");
        }
        85..=91 => {
            sound = false;
            bytes.extend(format!("Transfer-Encoding: chunked\r\n\r\n{}", pick(random, &BAD_CHUNKS)).bytes());
        }
        _ => {
            sound = false;
            // Only where no reading of it makes the rest a request of its own.
            let rest = if often(random, 50) { "5\r\nhello\r\n0\r\n\r\n" } else { "" };
            bytes.extend(format!("{}\r\n\r\n{rest}", pick(random, &FRAMINGS)).bytes());
        }
    }
    // HEAD and CONNECT change how an answer is framed; a target with these is none.
    let odd = target.iter().any(|b| !b.is_ascii_graphic())
        || target.is_empty()
        || method == "CONNECT"
        || method == "PRI";
    let expects = bytes.windows(7).any(|w| w == b"Expect:");
    let streams = endless(&target);
    Made { bytes, method, sound: sound && !odd && !expects && !streams, target, streams }
}

/// One connection's worth, with the given number in its marks.
pub fn script(random: &mut Rng, number: usize) -> Script {
    let mut bytes = if often(random, 3) { b"\r\n\r\n".to_vec() } else { Vec::new() };
    let (mut due, mut sent, mut streams) = (Some(Vec::new()), Vec::new(), false);
    for i in 0..random.usize(1..5) {
        let mark = format!("m{number}-{i}");
        let made = request(random, &mark);
        bytes.extend(&made.bytes);
        streams |= made.streams;
        match (&mut due, made.sound) {
            (Some(due), true) => due.push(made.method == "HEAD"),
            _ => due = None,
        }
        sent.push((mark, made.method, made.target));
    }
    if often(random, 10) {
        bytes.truncate(random.usize(..=bytes.len()));
        due = None;
    }
    if often(random, 5) {
        let (at, byte) = (random.usize(..=bytes.len()), random.u8(..));
        // Not into a mark, by which a call is known again.
        let line = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
        if !bytes[line..].starts_with(b"X-Mark:") {
            bytes.insert(at, byte);
            due = None;
        }
    }
    let mut pieces = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let size = if often(random, 50) { rest.len() } else { random.usize(1..=rest.len()) };
        pieces.push(rest[..size].to_vec());
        rest = &rest[size..];
    }
    let end = match random.u32(..10) {
        0..=1 => End::Close,
        2 => End::Reset,
        _ => End::Finish,
    };
    Script { pieces, due, end, streams, patience: 100, sent }
}
