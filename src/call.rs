//! The parts that all builders of calls share: awaiting, and running as a named operation.

use tracing::Instrument;

use crate::error::Result;
use crate::operation::Operation;

/// Makes a builder awaitable: awaiting it is calling the method that is named.
macro_rules! awaitable {
    ($builder:ty, $send:ident -> $output:ty) => {
        impl std::future::IntoFuture for $builder {
            type Output = crate::error::Result<$output>;
            type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Self::Output> + Send>>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(self.$send())
            }
        }
    };
}

pub(crate) use awaitable;

impl Operation {
    /// Runs the work of the operation in its span, and names the operation in an error.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        // Boxed to keep the futures that callers hold small.
        let result = Box::pin(work.instrument(self.span())).await;
        result.map_err(|error| error.during(self))
    }
}
