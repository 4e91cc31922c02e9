//! The protobuf wire format as a cursor over borrowed bytes: no copy, no allocation, no panic on
//! any bytes. What does not fit is [`Broken`]; groups (wire types 3 and 4) are refused, OTLP has none.

/// Bytes that are no protobuf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

/// One value as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Wire<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// Walks the fields of one message.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    /// Over the body of a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor(bytes)
    }

    /// The next field when it is a length-delimited one that begins with this byte and is below
    /// 16 KiB; otherwise nothing is taken.
    #[inline(always)]
    pub fn bytes_of(&mut self, key: u8) -> Option<&'a [u8]> {
        let (length, rest) = match *self.0 {
            [first, length, ref rest @ ..] if first == key && length < 0x80 => {
                (usize::from(length), rest)
            }
            [first, low, high, ref rest @ ..] if first == key && high < 0x80 => {
                (usize::from(low & 0x7f) | usize::from(high) << 7, rest)
            }
            _ => return None,
        };
        let (head, tail) = rest.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    /// The next byte.
    #[inline(always)]
    pub fn first(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Whether the next byte is this one.
    #[inline(always)]
    pub fn is_at(&self, byte: u8) -> bool {
        self.first() == Some(byte)
    }

    /// Takes a length-delimited field with a key of one byte when it is below 128 bytes.
    #[inline(always)]
    pub fn short_bytes(&mut self, to: &mut &'a [u8]) -> bool {
        let [_, length @ ..0x80, rest @ ..] = self.0 else { return false };
        let Some((bytes, rest)) = rest.split_at_checked(usize::from(*length)) else { return false };
        (*to, self.0) = (bytes, rest);
        true
    }

    /// Takes a field of eight bytes with a key of one.
    #[inline(always)]
    pub fn fixed64(&mut self, to: &mut u64) -> bool {
        let Some(([_, bytes @ ..], rest)) = self.0.split_first_chunk::<9>() else { return false };
        (*to, self.0) = (u64::from_le_bytes(*bytes), rest);
        true
    }

    /// Passes over a field of four bytes with a key of two.
    #[inline(always)]
    pub fn skip_fixed32(&mut self, key: [u8; 2]) -> bool {
        let Some(([one, two, ..], rest)) = self.0.split_first_chunk::<6>() else { return false };
        if [*one, *two] == key {
            self.0 = rest;
        }
        [*one, *two] == key
    }

    /// Passes over a number below 128 with a key of one byte.
    #[inline(always)]
    pub fn skip_small(&mut self) -> bool {
        let [_, ..0x80, rest @ ..] = self.0 else { return false };
        self.0 = rest;
        true
    }

    /// Passes over these bytes, if they come next.
    #[inline(always)]
    pub fn skip(&mut self, bytes: &[u8]) -> bool {
        match self.0.split_at_checked(bytes.len()) {
            Some((first, rest)) if first == bytes => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// All that is left.
    #[inline(always)]
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// How many bytes are left.
    #[inline(always)]
    pub fn left(&self) -> usize {
        self.0.len()
    }

    /// The next field's number and value; `None` at the end.
    #[inline(always)]
    pub fn field(&mut self) -> Result<Option<(u64, Wire<'a>)>, Broken> {
        // Nearly all numbers of fields are below 16.
        let key = match self.0.split_first() {
            None => return Ok(None),
            Some((&byte, rest)) if byte < 0x80 => {
                self.0 = rest;
                u32::from(byte)
            }
            Some(_) => u32::try_from(self.varint()?).map_err(|_| Broken)?,
        };
        let value = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Broken)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(Broken),
        };
        match key >> 3 {
            0 => Err(Broken),
            number => Ok(Some((u64::from(number), value))),
        }
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, Broken> {
        match *self.0 {
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.0 = rest;
                Ok(u64::from(byte))
            }
            [low, high, ref rest @ ..] if high < 0x80 => {
                self.0 = rest;
                Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for (at, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if *byte < 0x80 {
                // The tenth byte has room for one bit.
                if at == 9 && *byte > 1 {
                    return Err(Broken);
                }
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err(Broken)
    }

    #[inline(always)]
    fn take(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let (head, tail) = self.0.split_at_checked(length).ok_or(Broken)?;
        self.0 = tail;
        Ok(head)
    }

    #[inline(always)]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (head, tail) = self.0.split_first_chunk().ok_or(Broken)?;
        self.0 = tail;
        Ok(*head)
    }
}

/// The bytes of a message that is nothing but one length-delimited field.
#[inline(always)]
pub fn only_bytes(body: &[u8], key: u8) -> Option<&[u8]> {
    match *body {
        [first, length, ref bytes @ ..] if first == key && length < 0x80 => {
            (bytes.len() == usize::from(length)).then_some(bytes)
        }
        [first, low, high, ref bytes @ ..] if first == key && high < 0x80 => {
            let length = usize::from(low & 0x7f) | usize::from(high) << 7;
            (bytes.len() == length).then_some(bytes)
        }
        _ => None,
    }
}

/// The number of a message that is nothing but one field with a number of at most eight bytes.
#[inline(always)]
pub fn only_varint(body: &[u8], key: u8) -> Option<u64> {
    let (first, rest) = body.split_first()?;
    let (last, groups) = rest.split_last()?;
    if *first != key || *last > 0x7f || groups.len() > 7 {
        return None;
    }
    let mut value = u64::from(*last);
    for group in groups.iter().rev() {
        if *group < 0x80 {
            return None;
        }
        value = value << 7 | u64::from(group & 0x7f);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_wire_type() {
        let bytes =
            [8, 0x96, 1, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, b'h', b'i', 0x25, 2, 0, 0, 0];
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(cursor.field(), Ok(Some((1, Wire::Varint(150)))));
        assert_eq!(cursor.field(), Ok(Some((2, Wire::Fixed64(1)))));
        assert_eq!(cursor.field(), Ok(Some((3, Wire::Bytes(b"hi")))));
        assert_eq!(cursor.field(), Ok(Some((4, Wire::Fixed32(2)))));
        assert_eq!(cursor.field(), Ok(None));
    }

    #[test]
    fn refuses_what_is_cut_or_no_field() {
        for bytes in [
            &[0x1a, 5, 1][..],
            &[8],
            &[0x0b],
            &[0, 0],
            &[8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert_eq!(Cursor::new(bytes).field(), Err(Broken), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_always_ends(bytes: Vec<u8>) {
            let mut cursor = Cursor::new(&bytes);
            let mut fields = 0;
            while let Ok(Some(_)) = cursor.field() { fields += 1; }
            prop_assert!(fields <= bytes.len());
        }
    }
}
