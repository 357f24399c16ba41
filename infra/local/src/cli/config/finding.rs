//! What is found wrong in a file, and how it is shown: where, what, and the line with a mark under the place.

use tillwatch_workflows::configuration::Severity;

use super::super::output::{Paint, Tone, counted, printable};

/// A place in a file. Lines and columns are counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Something wrong at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) at: Position,
    pub(super) severity: Severity,
    pub(super) text: String,
    /// Where else the same is, or what it doesn't go together with.
    pub(super) others: Vec<Position>,
}

impl Finding {
    pub(super) fn error(at: Position, text: impl Into<String>) -> Self {
        Self { at, severity: Severity::Error, text: text.into(), others: Vec::new() }
    }
}

/// A stretch of one line that is not shown: from a column on, up to another or the line's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hidden {
    pub(super) at: Position,
    pub(super) to: Option<usize>,
}

impl Hidden {
    fn covers(&self, column: usize) -> bool {
        self.at.column <= column && self.to.is_none_or(|to| column < to)
    }
}

/// How much of a line is shown on either side of a place.
const BEFORE: usize = 60;
const AFTER: usize = 60;

/// The lines that show a finding in the file of that name.
pub(super) fn shown(
    file: &str,
    lines: &[&str],
    finding: &Finding,
    hidden: &[Hidden],
    paint: Paint,
) -> String {
    let Position { line, column } = finding.at;
    let (tone, kind) = match finding.severity {
        Severity::Error => (Tone::Bad, ""),
        Severity::Warning => (Tone::Waiting, "warning: "),
    };
    let place = paint.heading(&format!("{}:{line}:{column}:", printable(file)));
    let mut text = format!("{place} {}{}", paint.toned(tone, kind), printable(&finding.text));
    if !finding.others.is_empty() {
        text.push_str(&format!(" ({})", elsewhere(&finding.others)));
    }
    let Some(source) = lines.get(line.saturating_sub(1)) else { return text };
    let (source, mark) = excerpt(source, finding.at, hidden);
    if source.trim().is_empty() {
        return text;
    }
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let mark = format!("{}{}", " ".repeat(mark), paint.toned(tone, "^"));
    text.push_str(&format!("\n  {number} | {source}\n  {gutter} | {mark}"));
    text
}

fn elsewhere(others: &[Position]) -> String {
    const NAMED: usize = 5;
    let mut lines: Vec<_> = others.iter().take(NAMED).map(|at| at.line.to_string()).collect();
    if others.len() > NAMED {
        lines.push(format!("{} more", others.len() - NAMED));
    }
    let lines = match lines.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => lines.concat(),
    };
    format!("see line{} {lines}", if others.len() == 1 { "" } else { "s" })
}

/// The part of a line around a place, what is hidden left out, and how far in it the place is.
fn excerpt(source: &str, at: Position, hidden: &[Hidden]) -> (String, usize) {
    let column = at.column.saturating_sub(1);
    let mut shown = String::new();
    let mut mark = None;
    let from = column.saturating_sub(BEFORE);
    if from > 0 {
        leave_out(&mut shown);
    }
    let hidden = on_line(hidden, at.line, column + AFTER);
    for (index, c) in source.trim_end().chars().enumerate().skip(from) {
        if index > column + AFTER {
            leave_out(&mut shown);
            break;
        }
        let hides = hidden.iter().any(|hidden| hidden.covers(index + 1));
        if hides {
            leave_out(&mut shown);
        }
        if index == column {
            let width = shown.chars().count();
            mark = Some(if hides { width.saturating_sub(1) } else { width });
        }
        match c {
            _ if hides => {}
            // One column wide, so that what is marked stays above the mark.
            '\t' => shown.push('→'),
            _ => shown.push_str(&printable(c.encode_utf8(&mut [0; 4]))),
        }
    }
    let width = shown.chars().count();
    (shown, mark.unwrap_or(width))
}

fn leave_out(shown: &mut String) {
    if !shown.ends_with('…') {
        shown.push('…');
    }
}

/// Those of the stretches, which are in order, that may matter up to a column of a line.
fn on_line(hidden: &[Hidden], line: usize, column: usize) -> &[Hidden] {
    let first = hidden.partition_point(|hidden| hidden.at.line < line);
    let end = hidden.partition_point(|hidden| hidden.at <= Position { line, column: column + 1 });
    // A line has more only in a file that nobody wrote.
    &hidden[first.max(end.saturating_sub(200)).min(end)..end]
}

/// How many errors and warnings there are, in words; none, if there are none.
pub(super) fn summary(findings: &[Finding]) -> Option<String> {
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match (errors, warnings) {
        (0, 0) => None,
        (0, warnings) => Some(counted(warnings, "warning")),
        (errors, 0) => Some(counted(errors, "error")),
        (errors, warnings) => {
            Some(format!("{} and {}", counted(errors, "error"), counted(warnings, "warning")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> Position {
        Position { line, column }
    }

    fn show(source: &str, finding: &Finding, hidden: &[Hidden]) -> String {
        let lines: Vec<_> = source.lines().collect();
        shown("locations.yaml", &lines, finding, hidden, Paint::none())
    }

    #[test]
    fn a_finding_is_shown_with_its_line_and_a_mark_under_the_place() {
        let finding = Finding::error(at(2, 3), "unknown setting \"merchant\" of square");
        assert_eq!(
            show("square:\n  merchant: M\n", &finding, &[]),
            "locations.yaml:2:3: unknown setting \"merchant\" of square\n  2 |   merchant: M\n    |   ^"
        );
    }

    #[test]
    fn what_is_hidden_is_not_shown_and_the_rest_of_the_line_is() {
        let source = "{token: hunter2, id: x}";
        let hidden = [Hidden { at: at(1, 9), to: Some(16) }];
        let text = show(source, &Finding::error(at(1, 18), "wrong"), &hidden);
        assert_eq!(text, "locations.yaml:1:18: wrong\n  1 | {token: …, id: x}\n    |            ^");
        let text = show(source, &Finding::error(at(1, 9), "wrong"), &hidden);
        assert_eq!(text, "locations.yaml:1:9: wrong\n  1 | {token: …, id: x}\n    |         ^");
        let open = [Hidden { at: at(1, 9), to: None }];
        assert!(show(source, &Finding::error(at(1, 2), "wrong"), &open).ends_with("{token: …\n    |  ^"));
    }

    #[test]
    fn long_lines_are_cut_and_what_a_terminal_acts_upon_is_written_out() {
        let long = format!("{}here{}", "a".repeat(500), "b".repeat(500));
        let text = show(&long, &Finding::error(at(1, 501), "wrong"), &[]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1].chars().count(), "  1 | ".len() + 1 + BEFORE + AFTER + 1 + 1);
        let column = lines[2].chars().position(|c| c == '^').unwrap();
        assert!(lines[1].chars().skip(column).collect::<String>().starts_with("here"));
        assert!(show("\ta\x1b[2J", &Finding::error(at(1, 2), "x"), &[]).contains("| →a\\u{1b}[2J\n    |  ^"));
    }

    #[test]
    fn places_elsewhere_are_named_by_their_lines() {
        let mut finding = Finding::error(at(1, 1), "not set");
        for (others, expected) in [(1, "(see line 2)"), (2, "(see lines 2 and 3)")] {
            finding.others = (0..others).map(|index| at(index + 2, 1)).collect();
            assert!(show("", &finding, &[]).ends_with(expected));
        }
        finding.others = (0..9).map(|index| at(index + 2, 1)).collect();
        assert!(show("", &finding, &[]).ends_with("(see lines 2, 3, 4, 5, 6 and 4 more)"));
    }

    #[test]
    fn a_place_that_is_not_in_the_file_is_no_accident() {
        for place in [at(0, 0), at(1, 900), at(900, 1)] {
            assert!(show("short", &Finding::error(place, "x"), &[]).contains(": x"));
        }
    }
}
