use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long a closed connection goes on discarding what the client still sends, so that the
/// answer is read before the kernel resets the connection.
const LINGER: Duration = Duration::from_secs(2);

/// A lock that a panic elsewhere does not take away.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes the stream in order: the client gets to read the answer.
pub(super) async fn finish(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut sink = vec![0; 64 * 1024];
    let discard = async { while matches!(stream.read(&mut sink).await, Ok(1..)) {} };
    let _ = tokio::time::timeout(LINGER, discard).await;
    Ok(())
}
