//! Commands for the operator to type, as a shell takes them.

use tillwatch_platform::config;

/// How this program is called: as it was, by itself or by cargo.
pub(crate) fn program() -> String {
    if config::optional("CARGO").is_some() {
        return "cargo run --".to_owned();
    }
    let name = std::env::args_os().next().unwrap_or_else(|| "tillwatch".into());
    quoted(&name.to_string_lossy())
}

/// The text as one word of a shell's.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_take_them_apart() {
        for (word, expected) in [
            ("tillwatch-data/secrets.json", "tillwatch-data/secrets.json"),
            ("http://[::1]:8080", "'http://[::1]:8080'"),
            ("my data", "'my data'"),
            ("it's", r"'it'\''s'"),
            ("$(rm -rf /)", "'$(rm -rf /)'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
