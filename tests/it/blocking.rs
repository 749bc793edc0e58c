//! Calls from programs without async code.

use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use machine_images::blocking::{self, Reader, Wait};
use machine_images::djinn::{Images, Source};
use machine_images::testing::{DevopsServer, DjinnServer, Fault};
use machine_images::{Error, ErrorKind, Progress, RetryPolicy, devops};

const DISK: &[u8] = include_bytes!("../data/disk.qcow2");
const MESSAGE: &str = "Cannot start a runtime from within a runtime";

fn images(server: &DjinnServer) -> Images {
    server.client().unwrap().images()
}

/// Bytes of which no two ranges are the same.
fn bytes(length: u32) -> Vec<u8> {
    (0..length / 4).flat_map(u32::to_le_bytes).collect()
}

/// The message of the panic of `call`.
fn panics<T>(call: impl FnOnce() -> T + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(call).err().expect("a panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast_ref::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn every_builder_waits() {
    let server = DjinnServer::start().unwrap();
    let images = images(&server);
    assert_eq!(
        server.client().unwrap().check().wait().unwrap().username,
        "tester"
    );
    let web = images.create_upload("web", DISK).wait().unwrap();
    let url = server.publish(DISK).unwrap();
    let copy = images.create_download("copy", url).wait().unwrap();
    images.wait_downloaded(copy.id).wait().unwrap();
    assert_eq!(images.get(web.id).wait().unwrap().name, "web");
    assert_eq!(images.find("web").wait().unwrap().unwrap().id, web.id);
    assert_eq!(images.list().wait().unwrap().len(), 2);
    let header = images.content(web.id).range(0..4).wait().unwrap();
    assert_eq!(
        header.bytes().wait().unwrap(),
        "QFI\u{fb}".chars().map(|c| c as u8).collect::<Vec<_>>()
    );
    images.delete(web.id).wait().unwrap();
    let error = images.get(web.id).wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFoundOrUnauthorized);

    let server = DevopsServer::start().unwrap();
    let (user, password) = server.login();
    let client = devops::Client::builder(server.url()).basic(user, password);
    let images = client.build().unwrap().images();
    let new = devops::NewImage::new("ami-1", "ec2", "root", "web");
    images.create(new).wait().unwrap();
    let ids: Result<Vec<_>, Error> = images.list().iter().map(|image| Ok(image?.id)).collect();
    assert_eq!(ids.unwrap(), ["ami-1"]);
}

#[test]
fn a_list_is_read_page_by_page_and_no_further_than_it_is_taken() {
    let server = DjinnServer::start().unwrap();
    let ids = server.add_images(60).unwrap();
    let mut iter = images(&server).list().iter();
    assert_eq!(server.requests().len(), 0);
    for (taken, id) in ids.iter().take(26).enumerate() {
        assert_eq!(iter.next().unwrap().unwrap().id, *id);
        assert_eq!(server.requests().len(), taken / 25 + 1);
    }
    drop(iter);
    thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(server.requests().len(), 2);

    let all: Result<Vec<_>, Error> = images(&server).list().iter().collect();
    assert_eq!(all.unwrap().len(), 60);
    let pages = blocking::iter(images(&server).list().limit(30).pages());
    let pages: Vec<_> = pages.map(|page| page.unwrap().items.len()).collect();
    assert_eq!(pages, [25, 5]);
}

#[test]
fn an_error_ends_a_list() {
    let server = DjinnServer::start().unwrap();
    server.add_images(30).unwrap();
    let client = machine_images::djinn::Client::builder(server.url());
    let client = client
        .token(server.token())
        .retry(RetryPolicy::none())
        .build();
    let mut iter = client.unwrap().images().list().iter();
    for _ in 0..25 {
        iter.next().unwrap().unwrap();
    }
    server.inject(Fault::status(503));
    assert_eq!(iter.next().unwrap().unwrap_err().kind(), ErrorKind::Server);
    assert!(iter.next().is_none() && iter.next().is_none());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_content_is_read_whole() {
    let server = DjinnServer::start().unwrap();
    let whole = bytes(5_000_000);
    let id = server.add_image("web", &whole).unwrap();
    let open = || Reader::new(images(&server).content(id).wait().unwrap());
    let mut read = Vec::new();
    open().read_to_end(&mut read).unwrap();
    assert!(read == whole);
    let mut copied = Vec::new();
    io::copy(&mut open(), &mut copied).unwrap();
    assert!(copied == whole);
    let mut first = Vec::new();
    let mut reader = open();
    reader.read_until(9, &mut first).unwrap();
    assert_eq!(first, whole[..first.len()]);
    // The rest, by the async reader.
    let rest = reader.into_inner().bytes().wait().unwrap();
    assert!(rest == whole[first.len()..]);
}

#[test]
fn an_image_is_read_from_any_position() {
    let server = DjinnServer::start().unwrap();
    let whole = bytes(3_000_000);
    let id = server.add_image("web", &whole).unwrap();
    let mut reader = Reader::new(images(&server).reader(id));
    assert_eq!(server.requests().len(), 0);
    assert_eq!(reader.seek(SeekFrom::End(-700)).unwrap(), 3_000_000 - 700);
    for (to, at) in [
        (SeekFrom::Current(200), 2_999_500),
        (SeekFrom::Start(1_234_567), 1_234_567),
        (SeekFrom::Current(-234_567), 1_000_100),
        (SeekFrom::Start(0), 0),
    ] {
        assert_eq!(reader.seek(to).unwrap(), at as u64);
        let mut block = [0; 100];
        reader.read_exact(&mut block).unwrap();
        assert_eq!(block, whole[at..at + 100]);
    }
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest == whole[100..]);
    assert!(reader.seek(SeekFrom::Current(i64::MIN)).is_err());
}

#[test]
fn an_error_of_a_reader_has_the_crates_error_inside() {
    let server = DjinnServer::start().unwrap();
    let error = Reader::new(images(&server).reader(7))
        .read(&mut [0])
        .unwrap_err();
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    assert_eq!(inner.unwrap().kind(), ErrorKind::NotFoundOrUnauthorized);
}

#[test]
fn many_threads_wait_at_once() {
    let server = DjinnServer::start().unwrap();
    let whole = bytes(300_000);
    let id = server.add_image("web", &whole).unwrap();
    let images = images(&server);
    thread::scope(|scope| {
        for at in 0..16 {
            let (images, whole) = (&images, &whole);
            scope.spawn(move || {
                let name = format!("image-{at}");
                let made = images.create_upload(&name, DISK).wait().unwrap();
                let mut content = Vec::new();
                let mut reader = Reader::new(images.content(id).wait().unwrap());
                reader.read_to_end(&mut content).unwrap();
                assert!(content == *whole);
                assert_eq!(images.find(&name).wait().unwrap().unwrap().id, made.id);
                images.delete(made.id).wait().unwrap();
            });
        }
    });
    assert_eq!(server.image_count(), 1);
}

#[test]
fn progress_is_reported_to_the_end_and_mostly_on_the_waiting_thread() {
    let server = DjinnServer::start().unwrap();
    let images = images(&server);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = || {
        let seen = Arc::clone(&seen);
        move |progress: Progress| {
            let thread = thread::current().id();
            seen.lock().unwrap().push((progress.done, thread));
        }
    };
    let upload = images.create_upload("web", Source::from(DISK));
    let image = upload.progress(listener()).wait().unwrap();
    let (done, _) = *seen.lock().unwrap().last().unwrap();
    assert_eq!(done, DISK.len() as u64);
    seen.lock().unwrap().clear();

    // Long enough for reports in between.
    let slow = Fault::Trickle {
        bytes: DISK.len() / 8,
        every: Duration::from_millis(100),
    };
    server.inject(slow);
    images.digest(image.id).progress(listener()).wait().unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 2, "{seen:?}");
    let this = thread::current().id();
    assert!(seen.iter().all(|(_, thread)| *thread == this));
}

#[test]
fn async_code_panics_with_the_documented_message() {
    let server = DjinnServer::start().unwrap();
    server.add_images(1).unwrap();
    let images = images(&server);
    for mut runtime in [
        tokio::runtime::Builder::new_current_thread(),
        tokio::runtime::Builder::new_multi_thread(),
    ] {
        let images = images.clone();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let call = images.get(1);
            let text = panics(std::panic::AssertUnwindSafe(|| call.wait()));
            assert!(text.starts_with(MESSAGE), "{text}");
            let mut iter = images.list().iter();
            let text = panics(std::panic::AssertUnwindSafe(|| iter.next()));
            assert!(text.starts_with(MESSAGE), "{text}");
            let mut reader = Reader::new(images.reader(1));
            let text = panics(std::panic::AssertUnwindSafe(|| reader.read(&mut [0])));
            assert!(text.starts_with(MESSAGE), "{text}");
            // It may wait where blocking is allowed.
            let images = images.clone();
            let call = tokio::task::spawn_blocking(move || images.get(1).wait());
            assert_eq!(call.await.unwrap().unwrap().id.get(), 1);
        });
    }
    // No harm was done.
    assert_eq!(images.get(1).wait().unwrap().id.get(), 1);
}
