//! The one place that prints. What a command found goes to stdout, and what it says about itself to stderr.
//!
//! Text that came over the network is shown through [`printable`]: a rejected request is anybody's, and escape
//! sequences in it must not reach the operator's terminal.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use tillwatch_platform::config;

/// Prints a line of the result.
pub(super) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Prints bytes of the result, nothing added.
pub(super) fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Says something beside the result. That nobody listens is no reason to stop.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", printable_lines(&text.to_string()));
}

/// A colour, by what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Quiet,
    Waiting,
    Bad,
}

impl Tone {
    /// The tone of a delivery's status.
    pub(super) fn of_status(status: &str) -> Self {
        match status {
            "applied" => Self::Good,
            "parked" | "rejected" => Self::Bad,
            "failed" | "held" | "unknown_connection" => Self::Waiting,
            _ => Self::Quiet,
        }
    }
}

/// Whether the result is coloured: on a terminal, unless `NO_COLOR` says no.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint(bool);

impl Paint {
    /// As this process's stdout wants it.
    pub(super) fn stdout() -> Self {
        let dumb = config::optional("TERM").is_some_and(|term| term == "dumb");
        Self(io::stdout().is_terminal() && config::optional("NO_COLOR").is_none() && !dumb)
    }

    /// No colours.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self(false)
    }

    /// The text in the tone's colour.
    pub(super) fn toned(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Quiet => "2",
            Tone::Waiting => "33",
            Tone::Bad => "31",
        };
        self.wrapped(code, text)
    }

    /// The text as a heading.
    pub(super) fn heading(self, text: &str) -> String {
        self.wrapped("1", text)
    }

    fn wrapped(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The text on one line and without anything that a terminal would act upon.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// The same with its line ends and tabs left alone.
pub(super) fn printable_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let acts = |c: char| !kept(c) && (c.is_control() || is_invisible(c));
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if acts(c) {
            // Writing to a string can't fail.
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Characters that reorder or hide those around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A time span in milliseconds with one decimal: `12.3 ms`.
pub(super) fn millis(span: Duration) -> String {
    let tenths = (span.as_micros() + 50) / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

/// A count and what is counted: `1 event`, `2 events`.
pub(super) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_upon_is_written_out() {
        assert_eq!(printable("payment.updated"), "payment.updated");
        assert_eq!(printable("\x1b[2Jgone\r\n"), "\\u{1b}[2Jgone\\u{d}\\u{a}");
        assert_eq!(printable("safe\u{202e}exe.txt"), "safe\\u{202e}exe.txt");
        assert_eq!(printable_lines("{\n\t\"a\": \"\x07\"\n}"), "{\n\t\"a\": \"\\u{7}\"\n}");
    }

    #[test]
    fn spans_are_rounded_to_tenths_of_a_millisecond() {
        let shown = |micros| millis(Duration::from_micros(micros));
        assert_eq!(
            [shown(0), shown(49), shown(1_250), shown(12_345_678)],
            ["0.0 ms", "0.0 ms", "1.3 ms", "12345.7 ms"]
        );
    }

    #[test]
    fn counts_agree_in_number() {
        assert_eq!((counted(1, "event"), counted(0, "event")), ("1 event".into(), "0 events".into()));
    }
}
