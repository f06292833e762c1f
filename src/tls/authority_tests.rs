//! A certificate authority for tests, and connections between those that have its certificates.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{client, server};

use crate::config::Tls;
use crate::tls::ClientTls;
use crate::tls::server::acceptor;

/// On the certificate.
const NAME: &str = "boss.example";

/// A CA, and the files of a node that it signed, for a name that nobody dials.
pub(crate) struct Authority {
    directory: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec![NAME.to_string()]).unwrap().signed_by(&key, &ca).unwrap();
        for (name, pem) in [("ca", ca.pem()), ("cert", leaf.pem()), ("key", key.serialize_pem())] {
            std::fs::write(directory.path().join(name), pem).unwrap();
        }
        Authority { directory }
    }

    /// `--tlsverify` with these files.
    pub(crate) fn tls(&self) -> Tls {
        let file = |name: &str| Some(self.directory.path().join(name));
        Tls {
            tlsverify: true,
            tlscacert: file("ca"),
            tlscert: file("cert"),
            tlskey: file("key"),
            ..Tls::default()
        }
    }

    /// A client's and a server's end of a handshake.
    pub(crate) async fn meet(
        &self,
        client: &ClientTls,
    ) -> (std::io::Result<client::TlsStream<TcpStream>>, std::io::Result<server::TlsStream<TcpStream>>) {
        self.meet_as(&self.tls(), client).await
    }

    /// The same with other settings on the server's side.
    pub(crate) async fn meet_as(
        &self,
        server: &Tls,
        client: &ClientTls,
    ) -> (std::io::Result<client::TlsStream<TcpStream>>, std::io::Result<server::TlsStream<TcpStream>>) {
        let acceptor = acceptor(server).unwrap().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        tokio::join!(client.connect(NAME, near), acceptor.accept(far))
    }
}
