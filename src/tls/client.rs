//! TLS towards engines, registries and other managers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Config, Tls};
use crate::error::{Error, Kind, Result};
use crate::stream::{AHEAD, Ahead, ahead};
use crate::tls::ciphers::provider;
use crate::tls::floor::Floor;
use crate::tls::fresh::Fresh;
use crate::tls::peers::{Peers, Wanted, WantedOnly};
use crate::tls::pki::Files;
use crate::tls::pki::pin::Pin;
use crate::tls::pki::revoked::Revoked;
use crate::tls::signatures::{Signatures, signatures_as};
use crate::tls::watched::Watched;
use crate::tls::{pem, pinned};

/// What it takes to open TLS connections. Cheap to clone. Changed files are used from the next connection on.
#[derive(Clone)]
pub struct ClientTls {
    connector: Arc<Fresh<TlsConnector>>,
    /// By what peers are judged for as long as they are connected.
    revoked: Option<Revoked>,
}

impl ClientTls {
    /// After the classic matrix: `tls` does not verify the peer, `tlsverify` trusts `tlscacert` only; both
    /// present our own certificate, if there is one: for a registry a token is enough. `None` when TLS is off.
    pub fn from_config(tls: &Tls) -> Result<Option<ClientTls>> {
        ClientTls::trusting(tls, Trust::Named, None)
    }

    /// The same for a peer whose name is not known beforehand, because it was merely found: its certificate must
    /// come from the CA, and may be for any name.
    pub fn of_anybody(tls: &Tls) -> Result<Option<ClientTls>> {
        ClientTls::trusting(tls, Trust::Unnamed, None)
    }

    /// As configured, towards these: with the cluster's own certificates nobody else is talked to, and nobody whose
    /// certificate was revoked; with others the CA alone decides, as ever.
    ///
    /// # Errors
    /// Files that cannot be read or used.
    pub fn towards(config: &Config, peers: Peers) -> Result<Option<ClientTls>> {
        let wanted = match config.has_pki() {
            true => Some(Wanted { peers, revoked: Revoked::open(&Files::below(&config.pki_dir()))? }),
            false => None,
        };
        match peers {
            Peers::Engines | Peers::Managers => ClientTls::trusting(&config.tls, Trust::Named, wanted),
            Peers::FoundManagers => ClientTls::trusting(&config.tls, Trust::Unnamed, wanted),
        }
    }

    /// Trusts the certificates in `ca` only, and presents `cert`.
    pub fn verified(ca: &Path, cert: &Path, key: &Path) -> Result<ClientTls> {
        ClientTls::open(Recipe {
            trust: Trust::Named(ca.into()),
            own: Some((cert.into(), key.into())),
            wanted: None,
        })
    }

    /// Trusts a manager whose CA has this pin, and presents nothing: for joining.
    ///
    /// # Errors
    /// `Kind::Internal`, when rustls cannot be set up.
    pub fn pinned(pin: &Pin) -> Result<ClientTls> {
        let pin = pin.clone();
        let fresh = Fresh::new(Vec::new(), move || pinned::connector(&pin))?;
        Ok(ClientTls { connector: Arc::new(fresh), revoked: None })
    }

    fn trusting(
        tls: &Tls,
        verified: impl Fn(PathBuf) -> Trust,
        wanted: Option<Wanted>,
    ) -> Result<Option<ClientTls>> {
        if !tls.enabled() {
            return Ok(None);
        }
        if tls.tlscert.is_some() != tls.tlskey.is_some() {
            return Err(Error::us(Kind::Config, "--tlscert and --tlskey belong together"));
        }
        let own = tls.client_pair().map(|(cert, key)| (cert.into(), key.into()));
        let ca = tls.tlscacert.clone().filter(|_| tls.tlsverify);
        let trust = ca.map_or(Trust::Anyone, verified);
        ClientTls::open(Recipe { trust, own, wanted }).map(Some)
    }

    fn open(recipe: Recipe) -> Result<ClientTls> {
        let revoked = recipe.wanted.as_ref().map(|wanted| wanted.revoked.clone());
        let fresh = Fresh::new(recipe.files(), move || recipe.connector())?;
        Ok(ClientTls { connector: Arc::new(fresh), revoked })
    }

    /// Shakes hands over `tcp`; `host` is the name or address that the peer's certificate must carry.
    pub async fn connect(&self, host: &str, tcp: TcpStream) -> io::Result<TlsStream<Ahead>> {
        self.connect_ahead(host, tcp, AHEAD).await
    }

    async fn connect_ahead(&self, host: &str, tcp: TcpStream, bytes: usize) -> io::Result<TlsStream<Ahead>> {
        let name = ServerName::try_from(host.to_string()).map_err(io::Error::other)?;
        self.connector.get().connect(name, ahead(tcp, bytes)).await
    }

    /// The same connection, read `ahead` bytes ahead, which ends when the peer's certificate is revoked.
    pub async fn connect_watched(&self, host: &str, tcp: TcpStream, ahead: usize) -> io::Result<Watched> {
        Ok(Watched::new(self.connect_ahead(host, tcp, ahead).await?, self.revoked.clone()))
    }
}

/// Which peers to talk to.
enum Trust {
    /// Encrypted, but to whomever answers.
    Anyone,
    /// A certificate of this CA, for the name dialled.
    Named(PathBuf),
    /// A certificate of this CA, for whatever name.
    Unnamed(PathBuf),
}

/// The files that a connector is made from.
struct Recipe {
    trust: Trust,
    /// Our certificate and its key, if we show one.
    own: Option<(PathBuf, PathBuf)>,
    /// Which of those with a good chain, in a cluster with certificates of its own.
    wanted: Option<Wanted>,
}

impl Recipe {
    fn files(&self) -> Vec<PathBuf> {
        let ca = match &self.trust {
            Trust::Named(ca) | Trust::Unnamed(ca) => Some(ca),
            Trust::Anyone => None,
        };
        let own = self.own.iter().flat_map(|(cert, key)| [cert, key]);
        ca.into_iter().chain(own).cloned().collect()
    }

    fn connector(&self) -> Result<TlsConnector> {
        let signatures = Signatures(provider().signature_verification_algorithms);
        let lenient = |roots| Arc::new(Lenient { signatures, roots });
        let roots = match &self.trust {
            Trust::Named(ca) | Trust::Unnamed(ca) => pem::roots(ca)?,
            Trust::Anyone => RootCertStore::empty(),
        };
        let own = self.own.as_ref().map(|(cert, _)| pem::certificates(cert)).transpose()?;
        let builder = builder(Floor::of(own.as_deref().unwrap_or_default()))?;
        let builder = match (&self.trust, &self.wanted) {
            (Trust::Named(_), Some(wanted)) => {
                let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
                    .build()
                    .map_err(|e| Error::us(Kind::Config, format!("cannot verify by the CA: {e}")))?;
                let only = WantedOnly { chain, wanted: wanted.clone() };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(only))
            }
            (Trust::Unnamed(_), Some(wanted)) => {
                let only = WantedOnly { chain: lenient(Some(roots)), wanted: wanted.clone() };
                builder.dangerous().with_custom_certificate_verifier(Arc::new(only))
            }
            (Trust::Named(_), None) => builder.with_root_certificates(roots),
            (Trust::Unnamed(_), None) => {
                builder.dangerous().with_custom_certificate_verifier(lenient(Some(roots)))
            }
            (Trust::Anyone, _) => builder.dangerous().with_custom_certificate_verifier(lenient(None)),
        };
        let config = match self.own.as_ref().zip(own) {
            None => builder.with_no_client_auth(),
            Some(((cert, key), chain)) => {
                let key = pem::private_key(key)?;
                builder.with_client_auth_cert(chain, key).map_err(|e| {
                    Error::us(Kind::Config, format!("cannot use {} with its key: {e}", cert.display()))
                })?
            }
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn builder(time: Arc<Floor>) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>> {
    ClientConfig::builder_with_details(provider(), time)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::us(Kind::Internal, e.to_string()))
}

/// Asks less of the peer than rustls does: a certificate of the CA for whatever name; or, with `--tls` and without
/// `--tlsverify`, nothing at all: encrypted, but to whomever answers.
#[derive(Debug)]
struct Lenient {
    signatures: Signatures,
    roots: Option<RootCertStore>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let leaf = ParsedCertificate::try_from(leaf)?;
            let algorithms = self.signatures.0.all;
            verify_server_cert_signed_by_trust_anchor(&leaf, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    signatures_as!(signatures);
}
