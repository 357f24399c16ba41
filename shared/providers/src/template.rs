//! Sample payloads made of texts with gaps.

/// The text with every `$name` replaced by its value. No name may begin with another.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> Vec<u8> {
    let filled =
        values.iter().fold(text.trim_end().to_owned(), |text, (name, value)| text.replace(name, value));
    debug_assert!(!filled.contains('$'), "a gap is left open");
    filled.into_bytes()
}

/// A count of cents in major units: `12.34`.
pub(crate) fn major(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
