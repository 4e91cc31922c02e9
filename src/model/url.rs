//! Parts of URLs.

/// One part of a path: everything but letters, digits, `-`, `_`, `.` and `~` is escaped.
pub fn part(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().fold(String::new(), |out, b| match plain(b) {
        true => out + &char::from(b).to_string(),
        false => out + &format!("%{b:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_escaped() {
        assert_eq!(part("a b/ü?#"), "a%20b%2F%C3%BC%3F%23");
    }
}
