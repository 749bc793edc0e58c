//! nginx on loopback or in a network namespace, with and without TLS.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) struct Nginx {
    process: Child,
    home: tempfile::TempDir,
    address: String,
    port: u16,
    tls_port: u16,
}

impl Nginx {
    /// Serves the files of a directory as the contents of images.
    pub(crate) fn start(images: &Path) -> Self {
        Self::start_at("127.0.0.1", &[], images)
    }

    /// The same at an address, in the namespace that a command enters.
    pub(crate) fn start_at(address: &str, enter: &[String], images: &Path) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (port, tls_port) = (free_port(), free_port());
        certificate(home.path(), address);
        let (home_path, images) = (home.path().display(), images.display());
        let configuration = format!(
            "daemon off; master_process off; user root; pid {home_path}/pid; error_log {home_path}/errors;
            events {{ }}
            http {{
                access_log off; sendfile on; etag off; keepalive_requests 1000000;
                client_body_temp_path {home_path}/b; proxy_temp_path {home_path}/p;
                fastcgi_temp_path {home_path}/f; uwsgi_temp_path {home_path}/u;
                scgi_temp_path {home_path}/s;
                types {{ }}
                default_type application/x-qemu-disk;
                server {{
                    listen {address}:{port};
                    listen {address}:{tls_port} ssl;
                    ssl_certificate {home_path}/cert.pem;
                    ssl_certificate_key {home_path}/key.pem;
                    ssl_protocols TLSv1.3;
                    location /api/images/ {{ alias {images}/; }}
                }}
            }}"
        );
        let file = home.path().join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let words: Vec<_> = enter.iter().cloned().chain(["nginx".to_owned()]).collect();
        let process = Command::new(&words[0])
            .args(&words[1..])
            .args(["-e".as_ref(), home.path().join("errors").as_os_str()])
            .args(["-c".as_ref(), file.as_os_str()])
            .env("PATH", path_with_sbin())
            .spawn()
            .expect("nginx (Debian's nginx-light) is needed");
        // Written when it listens.
        let up = || home.path().join("pid").exists();
        assert!(
            (0..100).any(|_| up() || {
                std::thread::sleep(Duration::from_millis(50));
                false
            }),
            "nginx does not answer"
        );
        Self {
            process,
            home,
            address: address.to_owned(),
            port,
            tls_port,
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}/api", self.address())
    }

    pub(crate) fn tls_base(&self) -> String {
        format!("https://{}:{}/api", self.address, self.tls_port)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.home.path().join("cert.pem")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Debian keeps nginx where only root looks.
fn path_with_sbin() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn certificate(home: &Path, address: &str) {
    let status = Command::new("openssl")
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30".split(' '),
        )
        .args(["-subj", "/CN=bench", "-addext"])
        .arg(format!("subjectAltName=IP:{address}"))
        .args("-addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem".split(' '))
        .current_dir(home)
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("openssl is needed").success(), "openssl req");
}
