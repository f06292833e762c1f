//! The classic flag matrix as handshakes over loopback: listener × client, with certificates made by openssl.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Tls;
use crate::tls::server::Acceptor;
use crate::tls::workshop::{GOOD, Workshop};
use crate::tls::{ClientTls, refusal, server};

/// How both ends saw it: the reason and the cure of who refused.
#[derive(Debug)]
struct Met {
    client: Result<(), String>,
    server: Result<(), String>,
}

/// One handshake and one byte each way: with TLS 1.3 a client learns only by reading that it was refused.
async fn meet(listener: &Tls, client: &Tls) -> Met {
    let acceptor = server::acceptor(listener).unwrap().unwrap();
    greet(&acceptor, &ClientTls::from_config(client).unwrap().unwrap()).await
}

async fn greet(acceptor: &Acceptor, connector: &ClientTls) -> Met {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let serve = async {
        let mut stream = acceptor.accept(socket.accept().await?.0).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.shutdown().await
    };
    let dial = async {
        let mut stream = connector.connect("127.0.0.1", TcpStream::connect(address).await?).await?;
        stream.write_u8(7).await?;
        assert_eq!(stream.read_u8().await?, 7);
        Ok(())
    };
    let (server, client): (std::io::Result<()>, std::io::Result<()>) = tokio::join!(serve, dial);
    let told = |end: std::io::Result<()>| end.map_err(|e| format!("{e}; {}", refusal::cure(&e)));
    Met { client: told(client), server: told(server) }
}

fn refuses(end: &Result<(), String>, words: &[&str]) -> bool {
    end.as_ref().is_err_and(|text| words.iter().all(|word| text.contains(word)))
}

#[tokio::test]
async fn tls_asks_for_no_certificate_and_verifies_nobody() {
    let made = Workshop::new();
    made.leaf("stranger", "other", &["extendedKeyUsage=serverAuth"]);
    for (listener, client) in [
        (made.plain("node"), made.plain("stranger")),
        (made.plain("stranger"), made.plain("node")),
        (made.plain("node"), made.verify("ca", "stranger")),
        (made.verify("ca", "node"), made.plain("node")),
        (made.verify("ca", "node"), made.verify("ca", "node")),
        // Given both, `--tlsverify` counts; without it the CA is not used.
        (Tls { tls: true, ..made.verify("ca", "node") }, made.verify("ca", "node")),
        (
            Tls { tlscacert: made.verify("ca", "node").tlscacert, ..made.plain("node") },
            made.plain("stranger"),
        ),
    ] {
        let met = meet(&listener, &client).await;
        assert!(met.client.is_ok() && met.server.is_ok(), "{met:?}\n{listener:?}\n{client:?}");
    }
}

#[tokio::test]
async fn a_verifying_listener_refuses_bad_clients() {
    let made = bad();
    #[rustfmt::skip]
    let table: &[(&str, &[&str])] = &[
        ("foreign", &["UnknownIssuer", "not signed by a CA in tlscacert"]),
        ("expired", &["expired", "reissue it"]),
        ("server-only", &["extended key usage", "extendedKeyUsage=serverAuth,clientAuth"]),
    ];
    for (client, words) in table {
        let met = meet(&made.verify("ca", "node"), &made.plain(client)).await;
        assert!(refuses(&met.server, words), "{client}: {met:?}");
        assert!(refuses(&met.client, &["the other side refuses our certificate"]), "{client}: {met:?}");
    }
}

#[tokio::test]
async fn a_verifying_client_refuses_bad_engines() {
    let made = bad();
    #[rustfmt::skip]
    let table: &[(&str, &[&str])] = &[
        ("foreign", &["UnknownIssuer", "not signed by a CA in tlscacert"]),
        ("expired", &["expired", "reissue it"]),
        ("client-only", &["extended key usage", "extendedKeyUsage=serverAuth,clientAuth"]),
        ("cn-only", &["not valid for name", "a CN does not count"]),
        ("elsewhere", &["not valid for name", "subjectAltName=IP:ADDRESS"]),
    ];
    for (engine, words) in table {
        let met = meet(&made.plain(engine), &made.verify("ca", "node")).await;
        assert!(refuses(&met.client, words), "{engine}: {met:?}");
        // Who does not verify takes them all.
        let met = meet(&made.plain(engine), &made.plain("node")).await;
        assert!(met.client.is_ok(), "{engine}: {met:?}");
    }
}

#[tokio::test]
async fn new_files_count_from_the_next_connection_and_bad_ones_never() {
    let made = Workshop::new();
    made.leaf("foreign", "other", GOOD);
    let listener = server::acceptor(&made.verify("ca", "node")).unwrap().unwrap();
    let ours = ClientTls::from_config(&made.verify("ca", "node")).unwrap().unwrap();
    let theirs = ClientTls::from_config(&made.verify("other", "foreign")).unwrap().unwrap();
    let good = |met: &Met| met.client.is_ok() && met.server.is_ok();
    let replace = |from: &str, to: &str| std::fs::copy(made.path(from), made.path(to)).unwrap();
    let met = greet(&listener, &ours).await;
    assert!(good(&met), "{met:?}");

    // Half of a change: a certificate whose key has not arrived, then a file that is none. The old pair serves on.
    replace("foreign.pem", "node.pem");
    assert!(good(&greet(&listener, &ours).await));
    std::fs::write(made.path("ca.pem"), "half a li").unwrap();
    assert!(good(&greet(&listener, &ours).await));
    assert!(!good(&greet(&listener, &theirs).await));

    // The whole of it: both ends have moved to the other CA, by themselves.
    replace("foreign-key.pem", "node-key.pem");
    replace("other.pem", "ca.pem");
    for client in [&ours, &theirs] {
        let met = greet(&listener, client).await;
        assert!(good(&met), "{met:?}");
    }
}

fn bad() -> Workshop {
    let made = Workshop::new();
    let ec = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let both = "extendedKeyUsage=serverAuth,clientAuth";
    made.leaf("foreign", "other", GOOD);
    made.leaf("cn-only", "ca", &[both]);
    made.leaf("elsewhere", "ca", &["subjectAltName=IP:127.0.0.2", both]);
    made.leaf("server-only", "ca", &["subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth"]);
    made.leaf("client-only", "ca", &["subjectAltName=IP:127.0.0.1", "extendedKeyUsage=clientAuth"]);
    made.special("expired", "ca", GOOD, &ec, &["-days", "-1"]);
    made
}
