//! Decompression that cannot be used as a bomb: size and ratio are checked while inflating, and
//! what has grown counts as in flight.

use super::admit::Permit;
use super::denied::Denied;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// How often the compressed size may be the inflated one, beyond [`RATIO_FREE_BYTES`].
const RATIO_MAX: usize = 200;
const RATIO_FREE_BYTES: usize = 1 << 20;
const STEP_BYTES: usize = 64 << 10;
/// Memory of a zstd window, as a power of two: 8 MiB, what decoders must support.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a body is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
    /// zlib, or raw deflate, as some senders have it.
    Deflate,
}

impl Encoding {
    /// From a header's value; `None` for one that is not spoken here.
    pub fn from_header(value: Option<&http::HeaderValue>) -> Option<Encoding> {
        let Some(value) = value else { return Some(Encoding::Identity) };
        Some(match value.to_str().ok()?.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Encoding::Identity,
            "gzip" | "x-gzip" => Encoding::Gzip,
            "zstd" => Encoding::Zstd,
            "deflate" => Encoding::Deflate,
            _ => return None,
        })
    }
}

/// The inflated bytes, at most `limit` of them.
pub fn inflate(
    encoding: Encoding,
    bytes: &[u8],
    limit: usize,
    permit: &mut Permit,
) -> Result<Vec<u8>, Denied> {
    match encoding {
        _ if bytes.is_empty() => Ok(Vec::new()),
        Encoding::Identity => Ok(bytes.to_vec()),
        Encoding::Gzip => drain(MultiGzDecoder::new(bytes), bytes.len(), limit, permit),
        Encoding::Deflate if bytes[0] & 15 == 8 => {
            drain(ZlibDecoder::new(bytes), bytes.len(), limit, permit)
        }
        Encoding::Deflate => drain(DeflateDecoder::new(bytes), bytes.len(), limit, permit),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(broken)?;
            drain(decoder, bytes.len(), limit, permit)
        }
    }
}

fn drain(
    mut from: impl Read,
    compressed: usize,
    limit: usize,
    permit: &mut Permit,
) -> Result<Vec<u8>, Denied> {
    let most = limit.min(RATIO_FREE_BYTES.max(compressed.saturating_mul(RATIO_MAX)));
    let mut out: Vec<u8> = Vec::new();
    loop {
        let start = out.len();
        // One byte above the limit is asked for, to see whether there is more.
        let step = STEP_BYTES.max(start / 2).min(most + 1 - start);
        permit.grow(step)?;
        let count = (&mut from).take(step as u64).read_to_end(&mut out).map_err(broken)?;
        if out.len() > most {
            return Err(Denied::TooLarge { limit, when: " or 200 times its compressed size" });
        }
        if count < step {
            return Ok(out);
        }
    }
}

fn broken(error: std::io::Error) -> Denied {
    Denied::Malformed(format!("the compressed body cannot be read ({})", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::super::admit::Gate;
    use super::*;
    use std::io::Write;
    use std::sync::Arc;

    fn compressed(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
        use flate2::Compression;
        use flate2::write::{DeflateEncoder, GzEncoder};
        match encoding {
            Encoding::Identity => bytes.to_vec(),
            Encoding::Zstd => zstd::encode_all(bytes, 3).expect("zstd"),
            Encoding::Gzip => {
                let mut out = GzEncoder::new(Vec::new(), Compression::default());
                out.write_all(bytes).and_then(|()| out.finish()).expect("gzip")
            }
            Encoding::Deflate => {
                let mut out = DeflateEncoder::new(Vec::new(), Compression::default());
                out.write_all(bytes).and_then(|()| out.finish()).expect("deflate")
            }
        }
    }

    fn run(encoding: Encoding, bytes: &[u8]) -> (Result<Vec<u8>, Denied>, u64) {
        let meter: Arc<crate::model::Meter> = Arc::default();
        let mut permit = Gate::new(meter.clone(), 32 << 20).permit();
        let out = inflate(encoding, bytes, 20 << 20, &mut permit);
        (out, meter.in_flight_bytes.load(std::sync::atomic::Ordering::Relaxed))
    }

    const ALL: [Encoding; 3] = [Encoding::Gzip, Encoding::Zstd, Encoding::Deflate];

    #[test]
    fn what_was_compressed_comes_back() {
        let noise = |n: u32| n.wrapping_mul(2_654_435_761) >> 13;
        let text: Vec<u8> = (0..600_000).flat_map(|n| noise(n).to_le_bytes()).collect();
        for encoding in ALL {
            let packed = compressed(encoding, &text);
            assert_eq!(run(encoding, &packed).0.expect("inflates"), text, "{encoding:?}");
            let cut = &packed[..packed.len() / 2];
            assert!(matches!(run(encoding, cut).0, Err(Denied::Malformed(_))), "{encoding:?}");
        }
    }

    #[test]
    fn bombs_are_stopped_while_they_grow() {
        let zeros = vec![0; 100 << 20];
        for encoding in ALL {
            let packed = compressed(encoding, &zeros);
            assert!(packed.len() < 150_000, "{encoding:?}: {}", packed.len());
            let (out, charged) = run(encoding, &packed);
            assert!(matches!(out, Err(Denied::TooLarge { .. })), "{encoding:?}");
            assert!(charged < 40 << 20, "{encoding:?}: {charged}");
        }
    }
}
