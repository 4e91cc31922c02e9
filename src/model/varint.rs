//! Numbers in groups of seven bits, the lowest first, and signed ones folded so that small ones
//! stay short: what the log, sealed traces and tables are written with.

/// Appends a number.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front; `None` when it is cut short or longer than ten bytes.
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, shift) in (0..64).step_by(7).enumerate() {
        let byte = *bytes.get(at)?;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

/// 0, −1, 1, −2 … as 0, 1, 2, 3 …
pub fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// Undoes [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_none_is_read_that_is_not_whole() {
        for value in (0..64).map(|bit| 1u64 << bit).flat_map(|n| [n - 1, n, n | 1, !n]) {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut rest = &bytes[..];
            assert_eq!((take(&mut rest), rest.len()), (Some(value), 0));
            assert_eq!(take(&mut &bytes[..bytes.len() - 1]), None);
            assert_eq!(zigzag(unzigzag(value)), value);
        }
        assert_eq!(take(&mut &[0xff; 11][..]), None);
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
    }
}
