//! Awaiting a builder instead of calling its `send`.

/// Makes a builder with `async fn send(self) -> Result<T>` awaitable.
macro_rules! awaited {
    ($builder:ty => $output:ty) => {
        impl IntoFuture for $builder {
            type Output = $crate::Result<$output>;
            type IntoFuture = futures::future::BoxFuture<'static, Self::Output>;

            fn into_future(self) -> Self::IntoFuture {
                Box::pin(self.send())
            }
        }
    };
}

pub(crate) use awaited;
