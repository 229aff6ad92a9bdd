//! As much HTTP/1.1 client as a measurement needs: one request at a time over
//! one kept connection, answers with a length or chunked.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::Failure;

const HEADERS_MAX: usize = 64;
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a URL leads.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    address: SocketAddr,
    pub(crate) path: String,
}

impl Target {
    /// `http://IP:PORT/path` only: a name would be looked up.
    pub(crate) fn parse(url: &str) -> Result<Self, Failure> {
        let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url} is not http://IP:PORT/path"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self {
            address: host.parse().map_err(|_| format!("{host} is not IP:PORT"))?,
            path: format!("/{path}"),
        })
    }

    /// The bytes of a POST of JSON.
    pub(crate) fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            self.path,
            self.address,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        message
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Bytes of head and body on the wire.
    pub(crate) wire_bytes: usize,
    headers: Vec<(String, String)>,
}

impl Answer {
    pub(crate) fn header(&self, wanted: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str())
    }
}

struct Head {
    length: usize,
    status: u16,
    body: Option<usize>,
    chunked: bool,
    close: bool,
    headers: Vec<(String, String)>,
}

/// A kept connection.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Target,
    /// Another address of this machine than the one that the system picks.
    from: Option<IpAddr>,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    keep_headers: bool,
}

impl Connection {
    pub(crate) fn new(target: &Target, keep_headers: bool) -> Self {
        let buffer = Vec::with_capacity(16 * 1024);
        Self { target: target.clone(), from: None, stream: None, buffer, keep_headers }
    }

    /// The same from one address of this machine.
    pub(crate) fn from(self, address: Option<IpAddr>) -> Self {
        Self { from: address, ..self }
    }

    async fn open(&self) -> Result<TcpStream, Failure> {
        let to = self.target.address;
        let stream = match self.from {
            None => TcpStream::connect(to).await?,
            Some(address) => {
                let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.bind(SocketAddr::new(address, 0))?;
                socket.connect(to).await?
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Sends a request and reads its answer. An error leaves the connection closed.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        self.buffer.clear();
        stream.write_all(request).await?;
        let head = loop {
            more(&mut stream, &mut self.buffer).await?;
            if let Some(head) = parse_head(&self.buffer, self.keep_headers)? {
                break head;
            }
        };
        let (body, wire_bytes) = match (head.body, head.chunked) {
            (Some(length), _) => {
                let end = head.length.saturating_add(length);
                while self.buffer.len() < end {
                    more(&mut stream, &mut self.buffer).await?;
                }
                (self.buffer[head.length..end].to_vec(), end)
            }
            (None, true) => loop {
                if let Some((body, used)) = unchunk(&self.buffer[head.length..])? {
                    break (body, head.length.saturating_add(used));
                }
                more(&mut stream, &mut self.buffer).await?;
            },
            (None, false) => (Vec::new(), head.length),
        };
        if !head.close {
            self.stream = Some(stream);
        }
        Ok(Answer { status: head.status, body, wire_bytes, headers: head.headers })
    }

    /// One JSON-RPC call.
    pub(crate) async fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let request = self.target.post(&[], body.as_bytes());
        let answer = self.send(&request).await?;
        let mut answer: Value = serde_json::from_slice(&answer.body)?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(format!("{method}: {answer}").into()),
        }
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    if buffer.len() > ANSWER_BYTES_MAX {
        return Err("answer too long".into());
    }
    if stream.read_buf(buffer).await? == 0 {
        return Err("connection closed by the server".into());
    }
    Ok(())
}

fn parse_head(bytes: &[u8], keep: bool) -> Result<Option<Head>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let mut head = Head {
        length,
        status: response.code.unwrap_or_default(),
        body: None,
        chunked: false,
        close: false,
        headers: Vec::new(),
    };
    for header in response.headers {
        let value = std::str::from_utf8(header.value)?.trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            head.body = Some(value.parse()?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.chunked = value.eq_ignore_ascii_case("chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.close = value.eq_ignore_ascii_case("close");
        }
        if keep {
            head.headers.push((header.name.to_owned(), value.to_owned()));
        }
    }
    Ok(Some(head))
}

/// The body and how many bytes it took, once its last chunk is there.
fn unchunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Failure> {
    let mut body = Vec::new();
    let mut at = 0_usize;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let Ok(httparse::Status::Complete((used, size))) = httparse::parse_chunk_size(rest) else {
            return Ok(None);
        };
        let size = usize::try_from(size)?;
        let start = at.saturating_add(used);
        let end = start.saturating_add(size);
        let next = end.saturating_add(2);
        if bytes.len() < next {
            return Ok(None);
        }
        body.extend_from_slice(&bytes[start..end]);
        at = next;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_when_the_last_is_there() {
        let whole = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        assert_eq!(unchunk(whole).unwrap(), Some((b"abcde".to_vec(), whole.len())));
        for cut in 0..whole.len() {
            assert_eq!(unchunk(&whole[..cut]).unwrap(), None, "{cut}");
        }
    }

    #[test]
    fn only_plain_addresses_are_targets() {
        assert_eq!(Target::parse("http://127.0.0.1:80/a?b").unwrap().path, "/a?b");
        assert_eq!(Target::parse("http://127.0.0.1:80").unwrap().path, "/");
        for bad in ["https://127.0.0.1:80/", "http://localhost:80/", "http://127.0.0.1/"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
