//! Whether a location can be open at the hours that are said.

use jiff::civil::Date;
use tillwatch_domain::hours::{DAY, minute};
use tillwatch_domain::location::{HoursMode, OpeningHours, Span};

use super::check::Mistakes;
use super::mistake::{Mistake, Path};

pub(super) fn check(hours: &OpeningHours, path: &Path, mistakes: &mut Mistakes<'_>) {
    if hours.mode != HoursMode::Weekly && !hours.days.is_empty() {
        let wrong = format!("the hours of weekdays say nothing while \"mode\" is \"{}\"", hours.mode.name());
        let meant = "Say \"weekly\", or leave the weekdays out".to_owned();
        mistakes.add(Mistake::warning(&path.to("mode"), wrong).meaning(meant));
    }
    for (day, spans) in &hours.days {
        check_day(spans, &path.to(day.name()), mistakes);
    }
    for (date, spans) in &hours.exceptions {
        let at = path.to("exceptions").to(date);
        // More is a date to the library than what is meant here: `20261225`, and dates with times.
        if date.len() != 10 || date.parse::<Date>().is_err() {
            let meant = "Write it as in 2026-12-25".to_owned();
            mistakes.add(Mistake::error(&at, format!("\"{date}\" is no date")).of_name().meaning(meant));
        }
        check_day(spans, &at, mistakes);
    }
}

fn check_day(spans: &[Span], path: &Path, mistakes: &mut Mistakes<'_>) {
    let mut taken: Vec<(u32, u32, Path)> = Vec::new();
    for (index, span) in spans.iter().enumerate() {
        let at = path.at(index);
        let open = time(span, Bound::Open, &at, mistakes);
        let close = time(span, Bound::Close, &at, mistakes);
        let (Some(open), Some(close)) = (open, close) else { continue };
        if open == close {
            let meant = "For day and night say 00:00 to 24:00, or \"mode: always\"".to_owned();
            mistakes.add_of_value(Mistake::error(&at.to("close"), "it closes when it opens").meaning(meant));
            continue;
        }
        let close = if close < open { close + DAY } else { close };
        if let Some((.., other)) = taken.iter().find(|(from, to, _)| open < *to && *from < close) {
            let wrong = format!("{}–{} overlaps other hours of the same day", span.open, span.close);
            mistakes.add(Mistake::error(&at.to("open"), wrong).beside(&other.to("open")));
        }
        taken.push((open, close, at));
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Bound {
    Open,
    Close,
}

/// The minute of the day, if it can be told.
fn time(span: &Span, bound: Bound, path: &Path, mistakes: &mut Mistakes<'_>) -> Option<u32> {
    let (name, text) = match bound {
        Bound::Open => ("open", &span.open),
        Bound::Close => ("close", &span.close),
    };
    let at = path.to(name);
    if text.trim().is_empty() {
        let wrong = format!("it is not said when it {name}s");
        mistakes.add(Mistake::error(path, wrong).of_name().meaning(format!("Say \"{name}\"")));
        return None;
    }
    if !mistakes.is_known(&at) {
        return None;
    }
    let minute = minute(text).filter(|minute| *minute < DAY || *minute == DAY && bound == Bound::Close);
    if minute.is_none() {
        let meant = match (text.as_str(), bound) {
            ("24:00", Bound::Open) => "A day begins at 00:00; 24:00 is only its end".to_owned(),
            _ => "Write it as in 09:30 or 23:00".to_owned(),
        };
        mistakes.add(Mistake::error(&at, format!("\"{text}\" is no time of the day")).meaning(meant));
    }
    minute
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::check::tests::{location, mistakes};

    fn of(hours: &Value) -> Vec<String> {
        let found = mistakes(location(&json!({"opening_hours": hours})));
        found.iter().map(|mistake| mistake.replace("locations[0].opening_hours", "")).collect()
    }

    fn of_span(open: &str, close: &str) -> Vec<String> {
        of(&json!({"mode": "weekly", "friday": [{"open": open, "close": close}]}))
    }

    #[test]
    fn a_day_has_several_spans_and_the_last_may_end_after_midnight() {
        let friday = json!([{"open": "09:00", "close": "14:00"}, {"open": "18:00", "close": "02:00"}]);
        assert_eq!(of(&json!({"mode": "weekly", "friday": friday, "sunday": []})), Vec::<String>::new());
        assert_eq!(of_span("00:00", "24:00"), Vec::<String>::new());
        assert_eq!(of(&json!({"mode": "always"})), Vec::<String>::new());
    }

    #[test]
    fn times_are_written_in_one_way() {
        for wrong in ["9:00", "0900", "24:30", "12:60", "noon", "09:00:00", "é9:00"] {
            let expected =
                format!(".friday[0].open: \"{wrong}\" is no time of the day. Write it as in 09:30 or 23:00");
            assert_eq!(of_span(wrong, "23:59"), [expected]);
        }
        assert_eq!(
            of_span("24:00", "23:00"),
            [
                ".friday[0].open: \"24:00\" is no time of the day. A day begins at 00:00; 24:00 is only its end"
            ]
        );
        assert_eq!(of_span("09:00", ""), [".friday[0]: it is not said when it closes. Say \"close\""]);
    }

    #[test]
    fn hours_take_time_and_do_not_overlap() {
        assert_eq!(
            of_span("09:00", "09:00"),
            [
                ".friday[0].close: it closes when it opens. For day and night say 00:00 to 24:00, or \"mode: always\""
            ]
        );
        let friday = json!([{"open": "18:00", "close": "02:00"}, {"open": "22:00", "close": "23:00"}]);
        assert_eq!(
            of(&json!({"mode": "weekly", "friday": friday})),
            [".friday[1].open: 22:00–23:00 overlaps other hours of the same day"]
        );
    }

    #[test]
    fn exceptions_are_of_dates_that_there_are() {
        let closed = json!([]);
        let exceptions = json!({"2026-12-25": closed, "2026-02-30": closed, "25/12/2026": closed});
        assert_eq!(
            of(&json!({"mode": "weekly", "exceptions": exceptions})),
            [
                ".exceptions.2026-02-30: \"2026-02-30\" is no date. Write it as in 2026-12-25",
                ".exceptions.25/12/2026: \"25/12/2026\" is no date. Write it as in 2026-12-25",
            ]
        );
    }

    #[test]
    fn weekdays_beside_another_mode_are_warned_of() {
        let hours = json!({"mode": "closed", "friday": [{"open": "09:00", "close": "14:00"}]});
        assert_eq!(of(&hours).len(), 1);
    }
}
