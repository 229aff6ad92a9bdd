//! As much HTTP/1.1 as a JSON-RPC proxy needs, written out so that a connection
//! can be cut at any point: before the upstream sees a call, or after it.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const HEAD_BYTES_MAX: usize = 32 * 1024;
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const HEADERS_MAX: usize = 64;

/// A request, whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Vec<u8>,
    pub(crate) keep_alive: bool,
}

/// A response, whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Seconds.
    pub(crate) retry_after: Option<u32>,
}

impl Response {
    pub(crate) fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), retry_after: None }
    }
}

/// A keep-alive connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

struct Head {
    length: usize,
    method: String,
    path: String,
    body: Option<usize>,
    keep_alive: bool,
    expects_continue: bool,
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let status = request.parse(bytes).map_err(|error| bad(&error.to_string()))?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    let mut head = Head {
        length,
        method: request.method.unwrap_or_default().to_owned(),
        path: request.path.unwrap_or_default().to_owned(),
        body: None,
        keep_alive: request.version == Some(1),
        expects_continue: false,
    };
    for header in request.headers {
        let value = std::str::from_utf8(header.value).map_err(|_| bad("header is not text"))?.trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            head.body = Some(value.parse().map_err(|_| bad("content-length"))?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(bad("chunked requests are not understood; send a content-length"));
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.keep_alive = !value.eq_ignore_ascii_case("close")
                && (head.keep_alive || value.eq_ignore_ascii_case("keep-alive"));
        } else if header.name.eq_ignore_ascii_case("expect") {
            head.expects_continue = value.eq_ignore_ascii_case("100-continue");
        }
    }
    Ok(Some(head))
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8 * 1024) })
    }

    /// The next request; `None` when the caller has closed the connection.
    pub(crate) async fn read(&mut self) -> io::Result<Option<Request>> {
        let head = loop {
            if let Some(head) = parse_head(&self.buffer)? {
                break head;
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(bad("headers too long"));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(bad("request cut")) };
            }
        };
        let body_length = head.body.unwrap_or(0);
        if body_length > BODY_BYTES_MAX {
            return Err(bad("body too long"));
        }
        if head.expects_continue {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let end = head.length.saturating_add(body_length);
        while self.buffer.len() < end {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(bad("body cut"));
            }
        }
        let rest = self.buffer.split_off(end);
        let mut body = std::mem::replace(&mut self.buffer, rest);
        body.drain(..head.length);
        Ok(Some(Request { method: head.method, path: head.path, body, keep_alive: head.keep_alive }))
    }

    pub(crate) async fn write(&mut self, response: &Response, keep_alive: bool) -> io::Result<()> {
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let retry = response.retry_after.map(|seconds| format!("retry-after: {seconds}\r\n"));
        let retry = retry.unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {} \r\ncontent-type: application/json\r\n{retry}content-length: {}\r\nconnection: {connection}\r\n\r\n",
            response.status,
            response.body.len(),
        );
        let mut message = head.into_bytes();
        message.extend_from_slice(&response.body);
        self.stream.write_all(&message).await
    }
}
