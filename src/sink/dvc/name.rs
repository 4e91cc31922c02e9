//! Names of experiments and of their references, by git's rules and DVC's: letters, digits,
//! `.`, `_` and `-`. What comes from traffic never reaches git otherwise.

use crate::model::human;

/// Characters of the arm that are kept.
const ARM_CHARS_MAX: usize = 64;

/// `ARM-<first 12 digits of the run id>`.
pub fn of(arm: &str, run: &str) -> String {
    let mut out = String::new();
    for c in arm.chars().take(ARM_CHARS_MAX) {
        let plain = c.is_ascii_alphanumeric() || c == '_' || c == '-';
        // A name may not begin with a point or a dash, and never has two points in a row.
        let point = c == '.' && !out.is_empty() && !out.ends_with('.');
        let dash = c == '-' && out.is_empty();
        out.push(if (plain && !dash) || point { c } else { '_' });
    }
    if out.is_empty() {
        out.push_str("run");
    }
    let digits: String = human::run(run).chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{out}-{digits}")
}

/// `refs/exps/ab/cdef…/NAME` for a full hash.
pub fn reference(base: &str, name: &str) -> String {
    let (first, rest) = base.split_at(base.len().min(2));
    format!("refs/exps/{first}/{rest}/{name}")
}

/// Whether a text can be a commit's hash, full or abbreviated.
pub fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_obey_git_and_dvc() {
        const ID: &str = "79e25078cdfed4e7872e7edc0c813d10";
        for (arm, name) in [
            ("A", "A-79e25078cdfe"),
            ("ok.v1-x_1", "ok.v1-x_1-79e25078cdfe"),
            ("a b/c:d", "a_b_c_d-79e25078cdfe"),
            ("--upload-pack=x", "_-upload-pack_x-79e25078cdfe"),
            ("..", "_.-79e25078cdfe"),
            ("a..b@{1}~^?*[\\", "a._b__1_______-79e25078cdfe"),
            ("größe", "gr__e-79e25078cdfe"),
            ("", "run-79e25078cdfe"),
        ] {
            assert_eq!(of(arm, ID), name);
        }
        assert!(of(&"x".repeat(500), ID).len() < 100);
        assert_eq!(reference("abcdef", "A-1"), "refs/exps/ab/cdef/A-1");
    }

    #[test]
    fn only_hashes_are_commits() {
        for text in ["9f3c2d1", "9F3C2D1e8b7a6f5e4d3c2b1a0f9e8d7c6b5a4f3e"] {
            assert!(is_commit(text));
        }
        for text in ["", "9f3c2d", "HEAD~10", "main", "--all-refs", "9f3c2d1\n", "9f3c2d1^{tree}"] {
            assert!(!is_commit(text), "{text}");
        }
    }
}
