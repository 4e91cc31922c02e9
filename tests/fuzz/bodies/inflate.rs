//! Decompression at the door, against the libraries without our limits: a body that inflates is
//! answered like its plain bytes, one that does not is 400, one that is too large is 413.

use super::door::Door;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::StatusCode;
use std::io::Read;

const MEDIA: &str = "application/x-protobuf";
/// Of a request; small, so that small inputs reach it.
const LIMIT: usize = 5 << 18;

thread_local! {
    static DOOR: Door = Door::new(LIMIT);
}

/// The first byte chooses the compression, the rest is the body; from 8 on, the rest is compressed
/// first, repeated so often.
pub fn run(bytes: &[u8]) {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let encoding = ["gzip", "zstd", "deflate", "identity"][usize::from(choice & 3)];
    let body = match choice >> 3 {
        0 => rest.to_vec(),
        often => packed(encoding, &rest.repeat(usize::from(often))),
    };
    DOOR.with(|door| {
        let (status, answer) = door.post(MEDIA, encoding, &body);
        match plain(encoding, &body) {
            None => assert_eq!(status, StatusCode::BAD_REQUEST, "{encoding}"),
            Some(plain) if plain.len() > most(encoding, body.len()) => {
                assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{encoding} {}", plain.len());
            }
            Some(plain) => {
                let as_plain = door.post(MEDIA, "identity", &plain);
                assert_eq!((status, answer), as_plain, "{encoding}");
            }
        }
    });
}

/// What may come out of so many bytes.
fn most(encoding: &str, bytes: usize) -> usize {
    if encoding == "identity" { LIMIT } else { LIMIT.min((bytes * 200).max(1 << 20)) }
}

fn packed(encoding: &str, plain: &[u8]) -> Vec<u8> {
    use flate2::{Compression, read};
    let mut out = Vec::new();
    let level = Compression::fast();
    let done = match encoding {
        "gzip" => read::GzEncoder::new(plain, level).read_to_end(&mut out),
        "deflate" => read::DeflateEncoder::new(plain, level).read_to_end(&mut out),
        "zstd" => zstd::stream::copy_encode(plain, &mut out, 1).map(|()| 0),
        _ => plain.take(u64::MAX).read_to_end(&mut out),
    };
    done.expect("memory");
    out
}

/// All of it, or as much as shows that it is too large.
fn plain(encoding: &str, body: &[u8]) -> Option<Vec<u8>> {
    if body.is_empty() {
        return Some(Vec::new());
    }
    let mut out = Vec::new();
    let enough = most(encoding, body.len()) as u64 + 1;
    let read = match encoding {
        "gzip" => MultiGzDecoder::new(body).take(enough).read_to_end(&mut out),
        "deflate" if body[0] & 15 == 8 => ZlibDecoder::new(body).take(enough).read_to_end(&mut out),
        "deflate" => DeflateDecoder::new(body).take(enough).read_to_end(&mut out),
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body).ok()?;
            decoder.window_log_max(23).ok()?;
            decoder.take(enough).read_to_end(&mut out)
        }
        _ => body.take(enough).read_to_end(&mut out),
    };
    read.ok().map(|_| out)
}
