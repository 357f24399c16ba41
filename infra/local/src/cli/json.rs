//! JSON laid out anew, its text otherwise as it was: order, digits and escapes stay, which parsing and writing would
//! not keep.

use serde::de::IgnoredAny;

/// The text indented by two spaces; none if it is not JSON.
pub(super) fn indented(text: &str) -> Option<String> {
    laid_out(text, true)
}

/// The text without the white space between its parts; none if it is not JSON.
pub(super) fn compact(text: &str) -> Option<String> {
    laid_out(text, false)
}

fn laid_out(text: &str, indent: bool) -> Option<String> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let new_line = |out: &mut String, depth: usize| {
        if indent {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth));
        }
    };
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        // The next part: a string, a sign, or a word up to the next sign.
        let end = match first {
            '"' => string_end(rest),
            '{' | '[' | '}' | ']' | ',' | ':' => 1,
            _ => rest.find(|c: char| "{}[],:".contains(c) || c.is_ascii_whitespace()).unwrap_or(rest.len()),
        };
        let (part, after) = rest.split_at(end);
        rest = after.trim_start();
        match first {
            '{' | '[' => {
                out.push(first);
                if !rest.starts_with(['}', ']']) {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                if !out.ends_with(['{', '[']) {
                    depth -= 1;
                    new_line(&mut out, depth);
                }
                out.push(first);
            }
            ',' => {
                out.push(first);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(if indent { ": " } else { ":" }),
            _ => out.push_str(part),
        }
    }
    Some(out)
}

/// Where the string that the text begins with ends.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    let closing = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    closing.map_or(text.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = r#" {"z":1.10,"a":[ 820982911946154508,true ,{}],"e":[],"t":"{\"q\\\":\/, é"} "#;

    #[test]
    fn indenting_changes_nothing_but_white_space() {
        let expected = r#"
{
  "z": 1.10,
  "a": [
    820982911946154508,
    true,
    {}
  ],
  "e": [],
  "t": "{\"q\\\":\/, é"
}"#;
        assert_eq!(indented(SENT).as_deref(), Some(expected.trim_start()));
    }

    #[test]
    fn compacting_undoes_indenting() {
        let once = compact(SENT).unwrap();
        assert_eq!(once, r#"{"z":1.10,"a":[820982911946154508,true,{}],"e":[],"t":"{\"q\\\":\/, é"}"#);
        assert_eq!(compact(&indented(&once).unwrap()).unwrap(), once);
    }

    #[test]
    fn what_is_not_json_is_left_alone() {
        for text in ["", "{", "a=b", "{\"a\":}", "{} {}"] {
            assert_eq!(indented(text), None, "{text}");
        }
    }
}
