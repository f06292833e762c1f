//! Certificates for tests as people make them: with `openssl`, good and bad.

use std::path::PathBuf;
use std::process::Command;

use crate::config::Tls;

/// A directory in which `NAME.pem` and `NAME-key.pem` are made.
pub struct Workshop {
    home: tempfile::TempDir,
}

/// A name for 127.0.0.1, and both uses.
pub const GOOD: &[&str] = &["subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth,clientAuth"];
const EC: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

impl Workshop {
    /// With two CAs, `ca` and `other`, and `node`, a good pair signed by `ca`.
    pub fn new() -> Workshop {
        let workshop = Workshop { home: tempfile::tempdir().unwrap() };
        workshop.ca("ca", EC);
        workshop.ca("other", EC);
        workshop.leaf("node", "ca", GOOD);
        workshop
    }

    /// Runs one openssl command in the directory.
    pub fn openssl(&self, arguments: &[&str]) {
        let done = Command::new("openssl").args(arguments).current_dir(self.home.path()).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// A self-signed CA.
    pub fn ca(&self, name: &str, key: &[&str]) {
        let (cert, secret, subject) =
            (format!("{name}.pem"), format!("{name}-key.pem"), format!("/CN={name}"));
        let fixed = ["-nodes", "-keyout", &secret, "-out", &cert, "-subj", &subject, "-days", "30"];
        self.openssl(&[&["req", "-x509", "-newkey"], key, &fixed].concat());
    }

    /// A pair with an EC key, CN 127.0.0.1, signed by `ca` with these extensions. Without any it is X.509 v1.
    pub fn leaf(&self, name: &str, ca: &str, extensions: &[&str]) {
        self.special(name, ca, extensions, EC, &["-days", "30"]);
    }

    /// The same with both uses, for whom `subject` says: `/OU=manager/CN=boss`.
    pub fn leaf_of(&self, name: &str, ca: &str, subject: &str) {
        self.issue(name, ca, subject, GOOD, EC, &["-days", "30"]);
    }

    /// The same with another key or other options of `openssl x509`.
    pub fn special(&self, name: &str, ca: &str, extensions: &[&str], key: &[&str], more: &[&str]) {
        self.issue(name, ca, "/CN=127.0.0.1", extensions, key, more);
    }

    fn issue(&self, name: &str, ca: &str, subject: &str, extensions: &[&str], key: &[&str], more: &[&str]) {
        let secret = format!("{name}-key.pem");
        let request = ["-nodes", "-keyout", &secret, "-out", "csr", "-subj", subject];
        self.openssl(&[&["req", "-new", "-newkey"], key, &request].concat());
        std::fs::write(self.path("extensions"), extensions.join("\n")).unwrap();
        let (cert, ca_cert, ca_key) = (format!("{name}.pem"), format!("{ca}.pem"), format!("{ca}-key.pem"));
        let mut sign = vec!["x509", "-req", "-in", "csr", "-CA", &ca_cert, "-CAkey", &ca_key, "-out", &cert];
        sign.push("-CAcreateserial");
        if !extensions.is_empty() {
            sign.extend(["-extfile", "extensions"]);
        }
        sign.extend(more);
        self.openssl(&sign);
    }

    /// The serial number of a certificate, in lower-case hexadecimal digits.
    pub fn serial(&self, name: &str) -> String {
        let cert = crate::tls::pem::certificates(&self.path(&format!("{name}.pem"))).unwrap().remove(0);
        crate::tls::identity::Identity::of(&cert).unwrap().serial
    }

    /// Where a file is.
    pub fn path(&self, file: &str) -> PathBuf {
        self.home.path().join(file)
    }

    /// `--tlsverify` with `CA.pem` and a pair.
    pub fn verify(&self, ca: &str, pair: &str) -> Tls {
        let tlscacert = Some(self.path(&format!("{ca}.pem")));
        Tls { tls: false, tlsverify: true, tlscacert, ..self.plain(pair) }
    }

    /// `--tls` with a pair.
    pub fn plain(&self, pair: &str) -> Tls {
        let (cert, key) = (self.path(&format!("{pair}.pem")), self.path(&format!("{pair}-key.pem")));
        Tls { tls: true, tlscert: Some(cert), tlskey: Some(key), ..Tls::default() }
    }

    /// Texts without the directory.
    pub fn short(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.home.path().display()), "")
    }
}
