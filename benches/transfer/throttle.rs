//! A line that holds every connection to a rate, after a delay.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// 20 Mbit/s.
const BYTES_PER_SECOND: f64 = 2.5e6;
const DELAY: Duration = Duration::from_millis(50);

/// Starts a proxy for the server at an address, `HOST:PORT`, and gives its own.
pub(crate) fn start(server: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = server.clone();
            thread::spawn(move || pass(client, &server));
        }
    });
    address
}

fn pass(client: TcpStream, server: &str) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            let count = requests.read(&mut buffer)?;
            // Every request, not only the first of a connection.
            thread::sleep(DELAY);
            match count {
                0 => return to_server.shutdown(Shutdown::Write),
                count => to_server.write_all(&buffer[..count])?,
            }
        }
    });
    slowly(server, client)
}

fn slowly(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    let mut due = Instant::now();
    loop {
        let count = from.read(&mut buffer)?;
        if count == 0 {
            return to.shutdown(Shutdown::Both);
        }
        // An idle line saves nothing up, beyond what a late wake-up cost.
        let earliest = Instant::now().checked_sub(Duration::from_millis(20));
        due = due.max(earliest.unwrap_or(due))
            + Duration::from_secs_f64(count as f64 / BYTES_PER_SECOND);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        to.write_all(&buffer[..count])?;
    }
}
