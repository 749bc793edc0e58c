//! Pauses between two requests, which a hint may cut short.

use std::time::Duration;

use futures::FutureExt;
use futures::stream::{BoxStream, StreamExt};
use tokio::time::{Instant, sleep_until, timeout_at};

/// The first and the longest pause; each is 1.5 times the one before.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(15);
/// The longest pause while hints can come.
const LONGEST_HINTED: Duration = Duration::from_secs(120);

/// The most hints that are dropped at once, so that a stream without an end does not hold up.
const MAX_DROPPED: usize = 1000;

/// The pauses of a wait, and its hints.
pub(super) struct Hints {
    /// `None` once it has ended.
    stream: Option<BoxStream<'static, ()>>,
    /// The next pause without a hint.
    pause: Duration,
    /// The least pause, which grows with each hint. So a stream that lies or floods causes at most
    /// as many requests as the pauses without a hint do.
    gap: Duration,
}

impl Hints {
    pub(super) fn new(stream: Option<BoxStream<'static, ()>>) -> Self {
        Self {
            stream,
            pause: FIRST,
            gap: FIRST,
        }
    }

    /// Drops the hints that have come: the next request is later than they are.
    pub(super) fn clear(&mut self) {
        for _ in 0..MAX_DROPPED {
            let Some(stream) = &mut self.stream else {
                return;
            };
            match stream.next().now_or_never() {
                Some(Some(())) => {}
                Some(None) => self.stream = None,
                None => return,
            }
        }
    }

    /// Waits until the next request is due, at most for `limit`.
    pub(super) async fn wait(&mut self, limit: Duration) {
        let began = Instant::now();
        let pause = self.pause.min(limit);
        sleep_until(began + self.gap.min(pause)).await;
        if let Some(stream) = &mut self.stream {
            match timeout_at(began + pause, stream.next()).await {
                Ok(Some(())) => self.gap = grown(self.gap, LONGEST),
                Ok(None) => self.stream = None,
                Err(_) => {}
            }
        }
        match self.stream {
            Some(_) => self.pause = grown(self.pause, LONGEST_HINTED),
            None => {
                sleep_until(began + pause.min(LONGEST)).await;
                self.pause = grown(self.pause, LONGEST);
            }
        }
    }
}

fn grown(pause: Duration, longest: Duration) -> Duration {
    (pause * 3 / 2).min(longest)
}

#[cfg(test)]
mod tests {
    use futures::channel::mpsc;
    use futures::stream;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Returns the number of requests in an hour.
    async fn requests(hints: &mut Hints) -> u32 {
        let end = Instant::now() + HOUR;
        let mut count = 0;
        while Instant::now() < end {
            hints.clear();
            count += 1;
            hints.wait(end - Instant::now()).await;
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_hints_causes_no_more_requests_than_none_do() {
        let without = requests(&mut Hints::new(None)).await;
        assert_eq!(without, 249);
        let flood = stream::repeat(()).boxed();
        assert_eq!(requests(&mut Hints::new(Some(flood))).await, without);
        let ended = stream::empty().boxed();
        assert_eq!(requests(&mut Hints::new(Some(ended))).await, without);
    }

    #[tokio::test(start_paused = true)]
    async fn hints_that_can_still_come_make_for_fewer_requests() {
        let silent = stream::pending().boxed();
        assert_eq!(requests(&mut Hints::new(Some(silent))).await, 44);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_ends_a_pause_and_one_that_came_before_it_does_not() {
        let (hint, stream) = mpsc::unbounded();
        let mut hints = Hints::new(Some(stream.boxed()));
        hints.pause = LONGEST_HINTED;
        hint.unbounded_send(()).unwrap();
        hints.clear();
        let began = Instant::now();
        let later = async {
            sleep_until(began + Duration::from_secs(7)).await;
            hint.unbounded_send(()).unwrap();
        };
        futures::join!(hints.wait(HOUR), later);
        assert_eq!(began.elapsed().as_secs(), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_ends_in_a_long_pause_shortens_it() {
        let (hint, stream) = mpsc::unbounded::<()>();
        let mut hints = Hints::new(Some(stream.boxed()));
        hints.pause = LONGEST_HINTED;
        let began = Instant::now();
        let later = async {
            sleep_until(began + Duration::from_secs(7)).await;
            drop(hint);
        };
        futures::join!(hints.wait(HOUR), later);
        assert_eq!(began.elapsed().as_secs(), 15);
    }
}
