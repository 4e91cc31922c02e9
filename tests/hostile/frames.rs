//! HTTP/2 by hand, as no honest library would speak it.

use std::io;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const CONTINUATION: u8 = 9;
pub const END_HEADERS: u8 = 4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    [&head(body.len() as u32, kind, flags, stream)[..], body].concat()
}

/// The head of a frame that says it is so long.
pub fn head(length: u32, kind: u8, flags: u8, stream: u32) -> [u8; 9] {
    let [_, a, b, c] = length.to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

/// `POST /v1/traces` of protobuf, compressed by HPACK's static table, and more headers.
pub fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(4u8, "/v1/traces"), (1, "x")] {
        block.extend([name, value.len() as u8]);
        block.extend(value.as_bytes());
    }
    for (name, value) in [("content-type", "application/x-protobuf")].iter().chain(more) {
        block.extend([0, name.len() as u8]);
        block.extend(name.as_bytes());
        block.push(value.len() as u8);
        block.extend(value.as_bytes());
    }
    block
}

/// A connection that has said hello.
pub async fn connect(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let hello = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&hello).await?;
    Ok(stream)
}
