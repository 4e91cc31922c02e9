//! The little of protobuf that answers, JSON and the count of data points need.

/// Wire type of strings, bytes and messages.
pub const BYTES: u8 = 2;

/// Appends the tag of a field.
pub fn put_tag(out: &mut Vec<u8>, number: u32, kind: u8) {
    push_varint(out, u64::from(number) << 3 | u64::from(kind));
}

/// Appends a varint field.
pub fn put_varint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, 0);
    push_varint(out, value);
}

/// Appends a 64-bit field.
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a 32-bit field.
pub fn put_fixed32(out: &mut Vec<u8>, number: u32, value: u32) {
    put_tag(out, number, 5);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends a string, bytes or a message.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, BYTES);
    push_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a varint into `out` and says how long it is.
pub fn varint(mut value: u64, out: &mut [u8; 10]) -> usize {
    let mut count = 0;
    while value > 127 {
        out[count] = value as u8 | 128;
        value >>= 7;
        count += 1;
    }
    out[count] = value as u8;
    count + 1
}

/// Calls `visit` with number and bytes of each length-delimited field of a message; `None` when
/// the bytes are no message.
pub fn each<'a>(
    mut bytes: &'a [u8],
    mut visit: impl FnMut(u32, &'a [u8]) -> Option<()>,
) -> Option<()> {
    while !bytes.is_empty() {
        let tag = take_varint(&mut bytes)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0)?;
        match tag & 7 {
            0 => drop(take_varint(&mut bytes)?),
            1 => drop(take(&mut bytes, 8)?),
            2 => {
                let length = usize::try_from(take_varint(&mut bytes)?).ok()?;
                visit(number, take(&mut bytes, length)?)?;
            }
            5 => drop(take(&mut bytes, 4)?),
            _ => return None,
        }
    }
    Some(())
}

fn push_varint(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; 10];
    let count = varint(value, &mut bytes);
    out.extend_from_slice(&bytes[..count]);
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (part, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(part)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}
