//! What no repetition changes: certificates, protocols, and logins of proxies.

use std::sync::Arc;
use std::time::{Duration, Instant};

use machine_images::djinn::Client;
use machine_images::{ClientBuilder, Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::support::everything;
use crate::support::raw::{Answer, RawServer, Then};

/// A server of TLS with a certificate for this name: its port, and the certificate.
async fn tls_server(name: &str) -> (u16, String) {
    server_that(name, false).await
}

/// The same, or one that breaks TLS instead of answering.
async fn server_that(name: &str, breaks: bool) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                if breaks {
                    let (mut raw, _) = stream.into_inner();
                    let _ = raw
                        .write_all(b"\x17\x03\x03\x00\x20 this was not sealed by any key")
                        .await;
                    let _ = raw.shutdown().await;
                    return;
                }
                let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                              Content-Length: 2\r\nConnection: close\r\n\r\n[]";
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (port, made.cert.pem())
}

/// Lists the images with the default retries; the failure must not take long.
async fn list(builder: ClientBuilder<Client>) -> Result<(), Error> {
    let began = Instant::now();
    let images = builder.build().unwrap().images();
    let listed = images.list().page(1).send().await.map(drop);
    let time = began.elapsed();
    assert!(time < Duration::from_secs(1), "{time:?}");
    listed
}

fn check(error: &Error, kind: ErrorKind, text: &str) {
    assert_eq!(error.kind(), kind, "{error:?}");
    assert!(!error.is_retryable(), "{error:?}");
    assert!(everything(error).contains(text), "{error:?}");
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test]
async fn a_certificate_that_is_not_trusted_fails_at_once() {
    let (port, _) = tls_server("localhost").await;
    let error = list(Client::builder(format!("https://localhost:{port}"))).await;
    let text = "list images: the server's certificate is not trusted";
    check(&error.unwrap_err(), ErrorKind::Tls, text);
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test]
async fn a_certificate_of_another_name_fails_at_once() {
    let (port, pem) = tls_server("other.example").await;
    let builder = Client::builder(format!("https://localhost:{port}")).root_certificates(pem);
    let text = "the server's certificate is not trusted";
    check(&list(builder).await.unwrap_err(), ErrorKind::Tls, text);
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test]
async fn a_certificate_that_is_trusted_is_taken() {
    let (port, pem) = tls_server("localhost").await;
    let builder = Client::builder(format!("https://localhost:{port}")).root_certificates(pem);
    list(builder).await.unwrap();
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test]
async fn https_to_a_server_without_tls_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let error = list(Client::builder(format!("https://{address}"))).await;
    let text = "the server does not speak TLS: the base URL may need http";
    check(&error.unwrap_err(), ErrorKind::Tls, text);
}

#[cfg(not(any(feature = "rustls", feature = "native-tls")))]
#[test]
fn https_without_a_tls_feature_is_refused_by_the_builder() {
    let error = Client::builder("https://example.org").build().unwrap_err();
    check(&error, ErrorKind::InvalidInput, "needs a TLS feature");
}

#[tokio::test]
async fn http_to_a_port_of_tls_says_so() {
    let (port, _) = tls_server("localhost").await;
    let error = list(Client::builder(format!("http://127.0.0.1:{port}"))).await;
    let text = "the response is not HTTP: the base URL may need https";
    check(&error.unwrap_err(), ErrorKind::Tls, text);
    // As the real server and nginx answer.
    for body in [
        "Client sent an HTTP request to an HTTPS server.\n",
        "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head>",
    ] {
        let answer = format!(
            "HTTP/1.0 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let server = RawServer::start(vec![Answer::new(answer, Then::Close)]).await;
        let error = list(Client::builder(server.url(""))).await;
        let text = "the server requires https, but the base URL is http";
        check(&error.unwrap_err(), ErrorKind::Tls, text);
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_the_login_is_not_asked_again() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let https = cfg!(any(feature = "rustls", feature = "native-tls"));
    for base in ["http://images.example", "https://images.example"] {
        if base.starts_with("https") && !https {
            continue;
        }
        let proxy = RawServer::start(vec![Answer::new(refusal, Then::Close)]).await;
        let error = list(Client::builder(base).proxy(proxy.url(""))).await;
        check(&error.unwrap_err(), ErrorKind::Proxy, "407");
        assert_eq!(proxy.received().len(), 1);
    }
}

#[test]
fn other_schemes_are_refused_by_the_builder() {
    for base in ["ftp://h", "file:///x", "h:80", "//h"] {
        let error = Client::builder(base).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{base}");
    }
}

#[tokio::test]
async fn what_is_no_http_on_a_line_that_was_is_asked_for_again() {
    let empty = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";
    let answers = [empty, "left over\r\n\r\n", empty];
    let answers = answers.map(|answer| Answer::new(answer, Then::Close));
    let server = RawServer::start(answers.into()).await;
    let images = Client::builder(server.url("")).build().unwrap().images();
    images.list().page(1).send().await.unwrap();
    images.list().page(1).send().await.unwrap();
    assert_eq!(server.received().len(), 3);
}

#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[tokio::test]
async fn tls_that_breaks_after_the_request_is_a_broken_connection() {
    let (port, certificate) = server_that("localhost", true).await;
    let builder = Client::builder(format!("https://localhost:{port}"))
        .root_certificates(certificate)
        .retry(machine_images::RetryPolicy::none());
    let images = builder.build().unwrap().images();

    let error = images.list().page(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport, "{error:?}");
    assert!(error.is_retryable(), "{error:?}");

    let url = "http://h/x".parse().unwrap();
    let error = images.create_download("x", url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error:?}");
}
