//! Texts with holes: `[MASK]` is one, `[MASK*N]` is N in a row, and `\[MASK]` is the literal text.

/// A part of a text with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Given text.
    Text(String),
    /// This number of tokens to generate.
    Holes(usize),
}

/// Splits a text at its holes. A part that only resembles a hole is text.
///
/// # Errors
/// The mark of a hole with an invalid number of tokens: 0, or more than fit into a `usize`.
pub(super) fn parts(text: &str) -> Result<Vec<Part>, &str> {
    let (mut parts, mut given) = (Vec::new(), String::new());
    let mut rest = text;
    while let Some(at) = rest.find("[MASK") {
        let (before, from) = rest.split_at(at);
        let Some((holes, length)) = hole(from) else {
            let (passed, next) = rest.split_at(at + 1);
            given.push_str(passed);
            rest = next;
            continue;
        };
        let (mark, next) = from.split_at(length);
        match before.strip_suffix('\\') {
            Some(before) => given.extend([before, mark]),
            None => {
                given.push_str(before);
                push_text(&mut parts, &mut given);
                parts.push(Part::Holes(holes.filter(|&holes| holes > 0).ok_or(mark)?));
            }
        }
        rest = next;
    }
    given.push_str(rest);
    push_text(&mut parts, &mut given);
    Ok(parts)
}

fn push_text(parts: &mut Vec<Part>, given: &mut String) {
    if !given.is_empty() {
        parts.push(Part::Text(std::mem::take(given)));
    }
}

/// The number of holes that a text begins with (none if it overflows), and the length of the mark. None without a mark.
fn hole(text: &str) -> Option<(Option<usize>, usize)> {
    let (mark, _) = text.split_once(']')?;
    let holes = match mark.strip_prefix("[MASK")? {
        "" => Some(1),
        count => {
            let digits = count.strip_prefix('*')?;
            let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| digits.parse().ok())?
        }
    };
    Some((holes, mark.len() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn texts_are_split_at_their_holes() {
        let holes = Part::Holes;
        for (text, expected) in [
            ("a [MASK] b[MASK*3]", vec![words("a "), holes(1), words(" b"), holes(3)]),
            ("[MASK][MASK*12]", vec![holes(1), holes(12)]),
            ("", vec![]),
            ("none", vec![words("none")]),
        ] {
            assert_eq!(parts(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_part_that_only_resembles_a_hole_is_text() {
        for text in [
            "[MASKED]",
            "[MASK*]",
            "[MASK*x]",
            "[MASK*+2]",
            "[MASK*2",
            "[mask]",
            "[MASK ]",
            "[MASK",
            "[[MASK*-1]",
        ] {
            assert_eq!(parts(text), Ok(vec![words(text)]), "{text}");
        }
        assert_eq!(parts("[MASK[MASK]"), Ok(vec![words("[MASK"), Part::Holes(1)]));
        for mark in ["[MASK*0]", "[MASK*99999999999999999999]"] {
            assert_eq!(parts(&format!("a {mark}b")), Err(mark));
        }
    }

    #[test]
    fn a_hole_can_be_escaped() {
        let parts = |text| parts(text).unwrap();
        assert_eq!(parts(r"a \[MASK] b"), [words("a [MASK] b")]);
        assert_eq!(parts(r"\[MASK*3]é[MASK]"), [words("[MASK*3]é"), Part::Holes(1)]);
        assert_eq!(parts(r"a \[MASKED]"), [words(r"a \[MASKED]")], "nothing to escape");
    }
}
