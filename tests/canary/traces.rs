//! Everything that is traced or logged in this process, at every level.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sink() -> &'static Sink {
    static SINK: OnceLock<Sink> = OnceLock::new();
    SINK.get_or_init(|| {
        let sink = Sink::default();
        let writer = sink.clone();
        // Global, as transfers to files run on threads of their own; it takes `log` as well.
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        sink
    })
}

/// Begins to listen; what is traced from now on is in [`so_far`].
pub(crate) fn listen() {
    sink();
}

/// What every test in this process has traced since one began to listen.
pub(crate) fn so_far() -> String {
    String::from_utf8_lossy(&sink().0.lock().unwrap()).into_owned()
}
