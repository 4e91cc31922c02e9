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

/// Bytes of the longest number.
pub const BYTES_MAX: usize = 10;

/// Writes a number into `out` and says how many bytes it has; what follows them is overwritten.
#[inline]
pub fn write(out: &mut [u8; BYTES_MAX], value: u64) -> usize {
    if value < 0x80 {
        out[0] = value as u8;
        return 1;
    }
    let count = (70 - value.leading_zeros() as usize) / 7;
    // Eight groups of seven bits side by side: halves, then quarters, then eighths are drawn apart.
    let low = value & 0x0fff_ffff | value << 4 & 0x0fff_ffff_0000_0000;
    let low = low & 0x0000_3fff_0000_3fff | low << 2 & 0x3fff_0000_3fff_0000;
    let low = low & 0x007f_007f_007f_007f | low << 1 & 0x7f00_7f00_7f00_7f00;
    let groups = (low | 0x8080_8080_8080_8080).to_le_bytes();
    out[..8].copy_from_slice(&groups);
    (out[8], out[9]) = ((value >> 56) as u8 | 0x80, (value >> 63) as u8);
    out[count - 1] &= 0x7f;
    count
}

/// Takes a number off the front; `None` when it is cut short or longer than ten bytes.
#[inline]
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    if first < 128 {
        *bytes = &bytes[1..];
        return Some(first.into());
    }
    take_any(bytes)
}

/// The same for numbers of which nobody can guess how long they are: no branch goes by it.
#[inline]
pub fn take_any(bytes: &mut &[u8]) -> Option<u64> {
    match bytes.first_chunk() {
        Some(ten) => {
            let (value, count) = read(ten)?;
            *bytes = &bytes[count..];
            Some(value)
        }
        None => take_last(bytes),
    }
}

/// The number at the beginning of ten bytes, and how many of them it has.
#[inline]
fn read(bytes: &[u8; BYTES_MAX]) -> Option<(u64, usize)> {
    let [low @ .., ninth, tenth] = *bytes;
    let groups = u64::from_le_bytes(low);
    let ends = !groups & 0x8080_8080_8080_8080;
    if ends != 0 {
        let count = ends.trailing_zeros() as usize / 8 + 1;
        return Some((drawn_together(groups & u64::MAX >> (64 - 8 * count)), count));
    }
    let value = drawn_together(groups) | u64::from(ninth & 127) << 56;
    match (ninth, tenth) {
        (..128, _) => Some((value, 9)),
        (_, ..128) => Some((value | u64::from(tenth) << 63, 10)),
        _ => None,
    }
}

/// Eight groups of seven bits side by side, without what marks them.
#[inline]
fn drawn_together(groups: u64) -> u64 {
    let all = groups & 0x7f7f_7f7f_7f7f_7f7f;
    let all = all & 0x007f_007f_007f_007f | (all & 0x7f00_7f00_7f00_7f00) >> 1;
    let all = all & 0x0000_3fff_0000_3fff | (all & 0x3fff_0000_3fff_0000) >> 2;
    all & 0x0fff_ffff | (all & 0x0fff_ffff_0000_0000) >> 4
}

/// The same near the end of the bytes, where there are no ten any more.
fn take_last(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate() {
        value |= u64::from(byte & 127) << (7 * at);
        if *byte < 128 {
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
            let mut room = [0xaa; BYTES_MAX];
            let count = write(&mut room, value);
            assert_eq!(room[..count], bytes, "{value:x}");
            let mut rest = &bytes[..];
            assert_eq!((take(&mut rest), rest.len()), (Some(value), 0));
            let followed = [&bytes[..], &[0xff; 12]].concat();
            let mut rest = &followed[..];
            assert_eq!((take(&mut rest), rest.len()), (Some(value), 12));
            assert_eq!(take_any(&mut &followed[..]), Some(value));
            assert_eq!(take_any(&mut &bytes[..]), Some(value));
            assert_eq!(take(&mut &bytes[..bytes.len() - 1]), None);
            assert_eq!(zigzag(unzigzag(value)), value);
        }
        assert_eq!(take(&mut &[0xff; 11][..]), None);
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
    }
}
