//! What every builder of a call shares: awaiting it, and naming its operation.

use tracing::Instrument;

use crate::error::Result;
use crate::operation::Operation;

impl Operation {
    /// Runs the work of the operation in its span, and names the operation in its error.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        // Boxed, so that the futures that callers hold are small.
        let result = Box::pin(work.instrument(self.span())).await;
        result.map_err(|error| error.during(self))
    }
}
