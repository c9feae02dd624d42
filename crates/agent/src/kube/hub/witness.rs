//! Why TLS broke: with 1.3 a server refuses a certificate after the client's handshake is done, and HTTP/2 then may say
//! only that the connection is closed.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What TLS said when it broke.
#[derive(Clone, Default)]
pub struct Cause(Arc<OnceLock<String>>);

impl Cause {
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    fn keep(&self, error: &io::Error) {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls {
            self.0.get_or_init(|| tls.to_string());
        }
    }
}

/// A stream whose break is remembered.
pub struct Witness<S> {
    pub stream: S,
    pub cause: Cause,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Witness<S> {
    /// Whoever closes may have said why: that is read before a failed write is told. It is there, or the end is.
    fn wrote<T>(
        &mut self,
        context: &mut Context<'_>,
        result: io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if result.is_err() && self.cause.get().is_none() {
            let mut byte = [0];
            // A failure is kept; what else comes is of no use any more.
            let _ = ready!(Pin::new(&mut *self).poll_read(context, &mut ReadBuf::new(&mut byte)));
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Witness<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        Poll::Ready(result.inspect_err(|error| self.cause.keep(error)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Witness<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.wrote(context, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, bytes));
        self.wrote(context, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(context));
        self.wrote(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
