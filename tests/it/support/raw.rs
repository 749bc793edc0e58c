//! A server that sends exactly the bytes it is told to, right or wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
#[cfg(feature = "fs")]
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What is sent for one request.
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) then: Then,
}

/// What becomes of the connection when an answer is sent.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    KeepAlive,
    Close,
    /// Nothing comes any more, and nothing ends.
    Hang,
    /// The last of its bytes, so many, come after a time, and it is kept.
    #[cfg(feature = "fs")]
    Later(Duration, usize),
}

impl Answer {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        let bytes = bytes.into();
        Self { bytes, then }
    }
}

/// One request, whole.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Answers one request after the other, over however many connections, with the next answer.
pub(crate) struct RawServer {
    address: String,
    received: Arc<Mutex<Vec<Received>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl RawServer {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let answers = Mutex::new(answers.into_iter());
        Self::answering(move |_| {
            let answer = answers.lock().unwrap().next();
            // A status of its own, so that a request too many is not taken for something else.
            answer.unwrap_or_else(|| Answer::new("HTTP/1.1 599 Unscripted\r\n\r\n", Then::Close))
        })
        .await
    }

    /// Answers each request by a function of it.
    pub(crate) async fn answering(
        answer: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let received = Arc::new(Mutex::new(Vec::new()));
        let script = Script {
            answer: Arc::new(answer),
            received: received.clone(),
        };
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(script.clone().serve(stream));
            }
        });
        Self {
            address,
            received,
            connections,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Script {
    answer: Arc<dyn Fn(&Received) -> Answer + Send + Sync>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Script {
    async fn serve(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut buffer).await {
            let answer = (self.answer)(&request);
            self.received.lock().unwrap().push(request);
            let bytes = &answer.bytes[..];
            #[cfg(feature = "fs")]
            let bytes = match answer.then {
                Then::Later(time, last) => {
                    let (now, later) = bytes.split_at(bytes.len() - last);
                    if stream.write_all(now).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(time).await;
                    later
                }
                _ => bytes,
            };
            if stream.write_all(bytes).await.is_err() {
                return;
            }
            match answer.then {
                Then::KeepAlive => {}
                Then::Close => return,
                Then::Hang => std::future::pending().await,
                #[cfg(feature = "fs")]
                Then::Later(..) => {}
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    let head = take_through(stream, buffer, b"\r\n\r\n").await?;
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers = lines.filter_map(|line| line.split_once(": "));
    let mut request = Received {
        method,
        target,
        headers: headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        body: Vec::new(),
    };
    if let Some(length) = request.header("content-length") {
        let length = length.parse().unwrap();
        request.body = take(stream, buffer, length).await?;
    } else if request.header("transfer-encoding").is_some() {
        loop {
            let line = take_through(stream, buffer, b"\r\n").await?;
            let line = String::from_utf8(line).unwrap();
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            request.body.extend(take(stream, buffer, length).await?);
            take(stream, buffer, 2).await?;
            if length == 0 {
                break;
            }
        }
    }
    Some(request)
}

/// Everything up to and with a mark; `None` at the end of the stream.
async fn take_through(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    mark: &[u8],
) -> Option<Vec<u8>> {
    loop {
        let found = buffer.windows(mark.len()).position(|window| window == mark);
        if let Some(at) = found {
            return Some(buffer.drain(..at + mark.len()).collect());
        }
        fill(stream, buffer).await?;
    }
}

async fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        fill(stream, buffer).await?;
    }
    Some(buffer.drain(..length).collect())
}

async fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let count = stream.read_buf(buffer).await.ok()?;
    (count > 0).then_some(())
}
