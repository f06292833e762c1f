//! A manager behind TLS, and those who come to it with certificates of its CA.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsConnector;

use crate::rig::{Answer, Manager, until, within};
use crate::sim::SimEngine;

/// A manager of simulated engines with `tlsverify`.
pub struct Guarded {
    pub manager: Manager,
    ca: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    directory: tempfile::TempDir,
}

/// Somebody who comes with or without a certificate.
#[derive(Clone)]
pub struct Person {
    connector: TlsConnector,
    addr: SocketAddr,
}

impl Guarded {
    /// With further lines of configuration, tables and all.
    pub async fn of(engines: &[SimEngine], more: &str) -> Guarded {
        let directory = tempfile::tempdir().expect("a directory");
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let root = params.self_signed(&key).expect("a CA");
        let (pem, root) = (root.pem(), root.der().clone());
        let ca = Issuer::new(params, key);
        let (cert, key) = leaf(&ca, &[(DnType::CommonName, "boss")], &["127.0.0.1"]);
        for (name, pem) in [("ca", pem), ("cert", cert), ("key", key)] {
            std::fs::write(directory.path().join(name), pem).expect("a file");
        }
        let file = |name: &str| directory.path().join(name).display().to_string();
        let more = format!(
            "{more}\n[tls]\ntlsverify = true\ntlscacert = \"{}\"\ntlscert = \"{}\"\ntlskey = \"{}\"\n",
            file("ca"),
            file("cert"),
            file("key"),
        );
        let manager = Manager::listing(&on_sockets(engines, &directory), &more);
        let guarded = Guarded { manager, ca, root, directory };
        guarded.is_ready(engines.len()).await;
        guarded
    }

    /// The same in a cluster that makes its own certificates. What `person` shows is by its CA, but not on its book.
    /// `pki`: further lines of that table.
    pub async fn with_pki(engines: &[SimEngine], pki: &str) -> Guarded {
        let directory = tempfile::tempdir().expect("a directory");
        let more = format!("[pki]\nenabled = true\n{pki}\n");
        let manager = Manager::listing(&on_sockets(engines, &directory), &more);
        let file =
            |name: &str| std::fs::read_to_string(manager.state().join("pki").join(name)).expect("a file");
        let key = KeyPair::from_pem(&file("ca-key.pem")).expect("a key");
        let root = CertificateDer::from_pem_slice(file("ca.pem").as_bytes()).expect("a CA");
        let ca = Issuer::from_ca_cert_der(&root, key).expect("a CA");
        let guarded = Guarded { manager, ca, root, directory };
        guarded.is_ready(engines.len()).await;
        guarded
    }

    async fn is_ready(&self, engines: usize) {
        until("all engines healthy", async || {
            let info = self.local("GET", "/swarmd/v1/status", "").await.json();
            (info["healthy"] == engines).then_some(())
        })
        .await;
    }

    /// Somebody whose certificate says this.
    pub fn person(&self, subject: &[(DnType, &str)]) -> Person {
        self.with(Some(leaf(&self.ca, subject, &[])))
    }

    /// A machine whose certificate is for these addresses.
    pub fn machine(&self, kind: &str, name: &str, hosts: &[&str]) -> Person {
        let subject = [(DnType::OrganizationalUnitName, kind), (DnType::CommonName, name)];
        self.with(Some(leaf(&self.ca, &subject, hosts)))
    }

    /// A user.
    pub fn user(&self, name: &str, role: &str) -> Person {
        self.person(&[
            (DnType::OrganizationalUnitName, "user"),
            (DnType::OrganizationName, role),
            (DnType::CommonName, name),
        ])
    }

    /// Somebody without a certificate.
    pub fn stranger(&self) -> Person {
        self.with(None)
    }

    fn with(&self, pair: Option<(String, String)>) -> Person {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match pair {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let cert = CertificateDer::from_pem_slice(cert.as_bytes()).expect("a certificate");
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(vec![cert], key).expect("a pair")
            }
        };
        Person { connector: TlsConnector::from(Arc::new(config)), addr: self.manager.addr }
    }

    /// As root of the manager's machine, by its unix socket.
    pub async fn local(&self, method: &str, path: &str, body: &str) -> Answer {
        let stream = UnixStream::connect(self.manager.socket()).await.expect("the manager listens");
        ask(stream, &text(method, path, "Content-Type: application/json\r\n", body)).await.expect("an answer")
    }

    /// The same, for an answer without a length: all of it, to its end.
    pub async fn local_stream(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = UnixStream::connect(self.manager.socket()).await.expect("the manager listens");
        stream
            .write_all(&text(method, path, "Content-Type: application/json\r\n", body))
            .await
            .expect("a call");
        let mut whole = Vec::new();
        within("an answer", stream.read_to_end(&mut whole)).await.expect("an answer");
        String::from_utf8_lossy(&whole).into_owned()
    }
}

impl Person {
    /// A connection of its own.
    pub async fn connect(&self) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.addr).await?;
        within("a handshake", self.connector.connect(ServerName::try_from("127.0.0.1").expect("a name"), tcp))
            .await
    }

    /// Sends these bytes, and reads the first answer.
    pub async fn send(&self, bytes: &[u8]) -> Option<Answer> {
        ask(self.connect().await.expect("a connection"), bytes).await
    }

    /// The same, and says that no more comes.
    pub async fn send_and_end(&self, bytes: &[u8]) -> Option<Answer> {
        let mut stream = self.connect().await.expect("a connection");
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        ask(stream, b"").await
    }

    pub async fn call(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let answer = self.send(&text(method, path, headers, body)).await;
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "", "").await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, "Content-Type: application/json\r\n", &body.to_string()).await
    }
}

fn text(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Sends, and reads one answer: of one without a length only the head, for it may be a stream without an end.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, bytes: &[u8]) -> Option<Answer> {
    // The other side may have heard enough before it has heard all.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        let n = within("an answer", stream.read_buf(&mut read)).await.ok()?;
        if n == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let is_head = bytes.starts_with(b"HEAD");
    while !is_head && read.len() < end + length {
        if within("a body", stream.read_buf(&mut read)).await.ok()? == 0 {
            return None;
        }
    }
    let body = if is_head { Vec::new() } else { read[end..end + length].to_vec() };
    Some(Answer { status, headers, body })
}

fn leaf(ca: &Issuer<'static, KeyPair>, subject: &[(DnType, &str)], hosts: &[&str]) -> (String, String) {
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.distinguished_name = DistinguishedName::new();
    for (part, value) in subject {
        params.distinguished_name.push(part.clone(), *value);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if !hosts.is_empty() {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let address = |host: &&str| SanType::IpAddress(host.parse().expect("an address"));
        params.subject_alt_names = hosts.iter().map(address).collect();
    }
    let key = KeyPair::generate().expect("a key");
    let cert = params.signed_by(&key, ca).expect("a certificate");
    (cert.pem(), key.serialize_pem())
}

/// Engines on unix sockets: they speak no TLS, and there nobody does.
fn on_sockets(engines: &[SimEngine], directory: &tempfile::TempDir) -> String {
    let node = |engine: &SimEngine| {
        let path = directory.path().join(engine.name());
        relay(UnixListener::bind(&path).expect("a socket"), engine.addr);
        format!("unix://{}", path.display())
    };
    format!("nodes://{}", engines.iter().map(node).collect::<Vec<_>>().join(","))
}

/// Carries connections of a unix socket to an engine.
fn relay(listener: UnixListener, engine: SocketAddr) {
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut far) = TcpStream::connect(engine).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The directory goes after the manager that reads it.
        let _ = &self.directory;
    }
}
