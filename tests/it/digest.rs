//! SHA-256 digests: of bytes, of files, as text and as JSON.

use machine_images::{Digest, ErrorKind};

const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[test]
fn a_digest_is_the_same_as_bytes_text_and_json() {
    let digest = Digest::of("hello");
    assert_eq!(digest.to_string(), HELLO);
    assert_eq!(HELLO.to_uppercase().parse::<Digest>().unwrap(), digest);
    assert_eq!(Digest::from(*digest.as_bytes()), digest);
    assert_eq!(digest.as_ref(), <[u8; 32]>::from(digest));
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, format!("\"{HELLO}\""));
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
}

#[test]
fn other_text_is_no_digest() {
    let error = "sha256:12".parse::<Digest>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(
        error.to_string(),
        "parse digest: \"sha256:12\" is not a SHA-256 digest of 64 hexadecimal digits"
    );
    let error = serde_json::from_str::<Digest>("\"12\"").unwrap_err();
    assert!(error.to_string().starts_with("\"12\" is not"), "{error}");
    assert!(serde_json::from_str::<Digest>("12").is_err());
}

#[cfg(feature = "fs")]
mod files {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_file_has_the_digest_of_its_bytes() {
        let bytes: Vec<u8> = (0..1_000_000).map(|at| (at / 7) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let digest = Digest::of_file(file.path()).await.unwrap();
        assert_eq!(digest, Digest::of(&bytes));
    }

    #[tokio::test]
    async fn an_error_names_the_file() {
        let error = Digest::of_file("/nowhere/x.qcow2").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert_eq!(
            error.to_string(),
            "hash file /nowhere/x.qcow2: cannot read the file"
        );
        assert_eq!(
            std::error::Error::source(&error).unwrap().to_string(),
            "No such file or directory (os error 2)"
        );
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_a_regular_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for path in [folder.path(), &fifo, "/dev/zero".as_ref()] {
            let hashed = tokio::time::timeout(Duration::from_secs(3), Digest::of_file(path));
            let error = hashed.await.expect("no end").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
        }
    }

    /// An unfinished read would keep the runtime from shutting down.
    #[test]
    fn dropping_the_future_stops_the_reading() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 40).unwrap();
        let began = std::time::Instant::now();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let hashed = runtime.block_on(async {
            let hashing = Digest::of_file(file.path());
            tokio::time::timeout(Duration::from_millis(100), hashing).await
        });
        assert!(hashed.is_err());
        drop(runtime);
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
