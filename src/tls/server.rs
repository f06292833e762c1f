//! TLS on what others connect to: the manager's listener. (An engine's front is in `gate`.)

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::Tls;
use crate::error::{Error, Kind, Result};
use crate::stream::{AHEAD, Ahead, ahead};
use crate::tls::ciphers::{has_aes, provider};
use crate::tls::floor::Floor;
use crate::tls::fresh::Fresh;
use crate::tls::pem;

/// Shakes hands with clients. Cheap to clone. Changed files are used from the next connection on; open ones stay.
#[derive(Clone)]
pub struct Acceptor(Arc<Fresh<TlsAcceptor>>);

impl Acceptor {
    pub(super) fn new(fresh: Fresh<TlsAcceptor>) -> Acceptor {
        Acceptor(Arc::new(fresh))
    }

    /// The server's side of one handshake.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<TlsStream<Ahead>> {
        self.0.get().accept(ahead(tcp, AHEAD)).await
    }
}

/// The acceptor for `tls`, or `None` when TLS is off.
///
/// With `tlsverify` clients are asked for a certificate. One that is not of `tlscacert` ends the handshake; none at all
/// does not, since agents that have only a token must reach the registry: what such a client may ask for is decided
/// per request (`api`). With `strict` it does, too.
pub fn acceptor(tls: &Tls) -> Result<Option<Acceptor>> {
    if !tls.enabled() {
        return Ok(None);
    }
    let (Some(cert), Some(key)) = (tls.tlscert.clone(), tls.tlskey.clone()) else {
        return Err(Error::us(Kind::Config, "--tlscert and --tlskey must be provided when using --tls"));
    };
    let ca = tls.tlscacert.clone().filter(|_| tls.tlsverify);
    if tls.tlsverify && ca.is_none() {
        return Err(Error::us(Kind::Config, "--tlscacert must be provided when using --tlsverify"));
    }
    let files = [Some(cert.clone()), Some(key.clone()), ca.clone()].into_iter().flatten().collect();
    let strict = tls.strict;
    let fresh = Fresh::new(files, move || accepting(ca.as_deref(), strict, &cert, &key))?;
    Ok(Some(Acceptor::new(fresh)))
}

fn accepting(ca: Option<&Path>, strict: bool, cert: &Path, key: &Path) -> Result<TlsAcceptor> {
    let verifier = match ca {
        Some(ca) => {
            let roots = Arc::new(pem::roots(ca)?);
            let asked = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let asked = if strict { asked } else { asked.allow_unauthenticated() };
            let verifier = asked
                .build()
                .map_err(|e| Error::us(Kind::Config, format!("cannot use {}: {e}", ca.display())))?;
            Some(verifier)
        }
        None => None,
    };
    Ok(TlsAcceptor::from(Arc::new(serving(verifier, cert, key)?)))
}

/// The server's side with this pair; `verifier` decides on clients' certificates, without one none is asked for.
///
/// ALPN offers HTTP/1.1 only: attach and exec take the connection over, which HTTP/2 cannot give.
pub(super) fn serving(
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    cert: &Path,
    key: &Path,
) -> Result<ServerConfig> {
    let chain = pem::certificates(cert)?;
    let builder = ServerConfig::builder_with_details(provider(), Floor::of(&chain))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::us(Kind::Internal, e.to_string()))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, pem::private_key(key)?)
        .map_err(|e| Error::us(Kind::Config, format!("cannot use {} with its key: {e}", cert.display())))?;
    // Who is slow with AES says so.
    config.ignore_client_order = !has_aes();
    // A resumed session shows no certificate, so that one revoked or expired meanwhile would go on to be good.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::ClientTls;
    use crate::tls::authority_tests::Authority;

    /// Whether the client showed a certificate, or why there is no connection.
    async fn met(server: &Authority, client: ClientTls) -> std::io::Result<bool> {
        let (_near, far) = server.meet(&client).await;
        far.map(|stream| stream.get_ref().1.peer_certificates().is_some())
    }

    #[tokio::test]
    async fn a_certificate_may_be_missing_but_not_of_another_authority() {
        let (ours, others) = (Authority::new(), Authority::new());
        let client = |tls: &Tls| {
            let tls = Tls { tlscacert: ours.tls().tlscacert, ..tls.clone() };
            ClientTls::from_config(&tls).unwrap().unwrap()
        };
        let stranger = Tls { tlscert: None, tlskey: None, ..ours.tls() };
        assert!(met(&ours, client(&ours.tls())).await.unwrap());
        assert!(!met(&ours, client(&stranger)).await.unwrap());
        assert!(met(&ours, client(&others.tls())).await.is_err());
    }
    #[test]
    fn no_session_is_resumed() {
        let authority = Authority::new();
        let tls = authority.tls();
        let config = serving(None, &tls.tlscert.unwrap(), &tls.tlskey.unwrap()).unwrap();
        assert!(!config.session_storage.can_cache() && !config.ticketer.enabled());
        assert_eq!(config.send_tls13_tickets, 0);
    }

    #[tokio::test]
    async fn strictly_none_at_all_is_one_of_another_authority() {
        let ours = Authority::new();
        let strict = Tls { strict: true, ..ours.tls() };
        let stranger = Tls { tlscert: None, tlskey: None, ..ours.tls() };
        let client = |tls: &Tls| ClientTls::from_config(tls).unwrap().unwrap();
        assert!(ours.meet_as(&strict, &client(&ours.tls())).await.1.is_ok());
        assert!(ours.meet_as(&strict, &client(&stranger)).await.1.is_err());
    }
}
