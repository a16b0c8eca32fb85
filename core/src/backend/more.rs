//! Rows to insert that are made while others before them are inserted.

use std::future::Future as _;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::Sleep;

use super::Batch;
use crate::runtime;

/// The rows behind those that an insert begins with. They come at the pace of whoever makes them, who may stand still for as
/// long as he likes: no statement may wait for them without a [`Span`].
pub struct More(Receiver<Batch>);

/// How long a statement may stay open for more rows.
pub(crate) struct Span(Pin<Box<Sleep>>);

impl Span {
    /// From now on.
    pub(crate) fn new(span: Duration) -> Self {
        Self(Box::pin(runtime::sleep(span)))
    }
}

impl More {
    pub(crate) fn new(batches: Receiver<Batch>) -> Self {
        Self(batches)
    }

    /// Takes no more, as whoever makes them then sees.
    pub(crate) fn close(&mut self) {
        self.0.close();
    }

    /// All rows that are there, or the next that come, however late; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Batch> {
        let mut rows = self.0.recv().await?;
        while let Ok(more) = self.0.try_recv() {
            rows.append(more);
        }
        Some(rows)
    }

    /// The next rows, if they come within `span`; `None` need not be the end.
    pub(crate) async fn within(&mut self, span: &mut Span) -> Option<Batch> {
        std::future::poll_fn(|context| match span.0.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => self.0.poll_recv(context),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::value::Value;

    fn rows(count: i64) -> Batch {
        (0..count).map(|number| vec![Value::Int(number)]).collect::<Vec<_>>().into()
    }

    #[tokio::test]
    async fn a_statement_waits_for_rows_no_longer_than_its_span() {
        let (send, receive) = mpsc::channel(2);
        let (mut more, mut span) = (More::new(receive), Span::new(Duration::from_millis(50)));
        send.send(rows(1)).await.unwrap();
        assert_eq!(more.within(&mut span).await.unwrap().len(), 1);
        let later = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            send.send(rows(2)).await.unwrap();
            send
        });
        assert_eq!(more.within(&mut span).await.unwrap().len(), 2);
        let send = later.await.unwrap();
        assert!(more.within(&mut span).await.is_none());
        // They are for the next statement.
        send.send(rows(3)).await.unwrap();
        send.send(rows(4)).await.unwrap();
        assert!(more.within(&mut span).await.is_none());
        assert_eq!(more.next().await.unwrap().len(), 7);
    }

    #[tokio::test]
    async fn the_end_is_not_waited_for() {
        let (send, receive) = mpsc::channel(1);
        let (mut more, mut span) = (More::new(receive), Span::new(Duration::from_secs(3600)));
        send.send(rows(1)).await.unwrap();
        drop(send);
        assert_eq!(more.within(&mut span).await.unwrap().len(), 1);
        assert!(more.within(&mut span).await.is_none());
        assert!(more.next().await.is_none());
    }
}
