//! A server on loopback that answers as badly as it is told.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What it answers next.
#[derive(Clone)]
pub(super) enum Reply {
    /// 200 with this body.
    Body(String),
    /// A status without a usable body.
    Status(u16),
    /// A redirect to this address.
    Redirect(String),
    /// Headers, half a body, end.
    CutOff,
    /// Nothing, ever.
    Hang,
    /// More than anybody should read.
    Endless,
}

type Answer = Box<dyn Fn(&str) -> Reply + Send>;

#[derive(Clone)]
pub(super) struct FaultyServer {
    pub(super) url: String,
    answer: Arc<Mutex<Answer>>,
}

impl FaultyServer {
    /// `answer` gets the request: head and body.
    pub(super) async fn start(answer: impl Fn(&str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/feed", listener.local_addr().unwrap());
        let server = Self { url, answer: Arc::new(Mutex::new(Box::new(answer))) };
        let shared = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(shared.clone().serve(stream));
            }
        });
        server
    }

    pub(super) fn now_answers(&self, answer: impl Fn(&str) -> Reply + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    async fn serve(self, mut stream: TcpStream) {
        let request = read(&mut stream).await;
        let reply = (self.answer.lock().unwrap())(&request);
        let head = |status: u16, length: usize, more: &str| {
            format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{more}connection: close\r\n\r\n")
        };
        let text = match reply {
            Reply::Body(body) => head(200, body.len(), "") + &body,
            Reply::Status(status) => head(status, 0, ""),
            Reply::Redirect(to) => head(302, 0, &format!("location: {to}\r\n")),
            Reply::CutOff => head(200, 100, "") + "{\"price\"",
            Reply::Hang => return std::future::pending().await,
            Reply::Endless => {
                let _ = stream.write_all(head(200, 1 << 40, "").as_bytes()).await;
                while stream.write_all(&[b' '; 65_536]).await.is_ok() {}
                return;
            }
        };
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4_096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
                })
                .next()
                .unwrap_or(0_usize);
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return text,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
