//! What is said of a location itself: where it is, how it is reached, and which time it goes by.

use jiff::tz::TimeZoneDatabase;
use tillwatch_domain::location::Location;

use super::check::Mistakes;
use super::mistake::{Mistake, Path};
use super::names::nearest;

pub(super) fn check(location: &Location, path: &Path, mistakes: &mut Mistakes<'_>) {
    let mut degrees = |name: &str, value: Option<&str>, limit: u32| {
        if let Some(value) = value.filter(|value| !value.trim().is_empty() && !is_within(value, limit)) {
            let wrong = format!("\"{value}\" is no {name}");
            let meant = format!("It is a decimal number from -{limit} to {limit}, such as 37.44");
            mistakes.add_of_value(Mistake::error(&path.to(name), wrong).meaning(meant));
        }
    };
    degrees("latitude", location.latitude.as_ref().map(|scalar| scalar.0.as_str()), 90);
    degrees("longitude", location.longitude.as_ref().map(|scalar| scalar.0.as_str()), 180);
    for (one, other, there, not_there) in [
        ("latitude", "longitude", location.latitude.is_some(), location.longitude.is_none()),
        ("longitude", "latitude", location.longitude.is_some(), location.latitude.is_none()),
    ] {
        if there && not_there {
            let wrong = format!("a {one} without a {other} is no place");
            mistakes.add(Mistake::warning(&path.to(one), wrong));
        }
    }
    if let Some(name) = &location.timezone {
        timezone(name, &path.to("timezone"), mistakes);
    }
    let contact = path.to("contact");
    let of_contact = location.contact.as_ref();
    for (at, number) in [
        (path.to("phone"), location.phone.as_deref()),
        (path.to("whatsapp"), location.whatsapp.as_deref()),
        (contact.to("phone"), of_contact.and_then(|contact| contact.phone.as_deref())),
    ] {
        if number.is_some_and(|number| !is_blank(number) && !is_phone(number)) {
            let meant = "It has 5 to 15 digits, such as +30 22890 12345".to_owned();
            mistakes.add_of_value(Mistake::error(&at, "this is no phone number").meaning(meant));
        }
    }
    let email = of_contact.and_then(|contact| contact.email.as_deref());
    if email.is_some_and(|email| !is_blank(email) && !is_email(email)) {
        mistakes.add_of_value(Mistake::error(&contact.to("email"), "this is no mail address"));
    }
    for (service, link) in &location.delivery_links {
        if !is_blank(link) && !is_link(link) {
            let at = path.to("delivery_links").to(service);
            let meant = "A link begins with https://".to_owned();
            mistakes.add_of_value(Mistake::error(&at, "this is no link").meaning(meant));
        }
    }
}

fn timezone(name: &str, path: &Path, mistakes: &mut Mistakes<'_>) {
    let database = TimeZoneDatabase::bundled();
    if is_blank(name) || database.available().any(|known| known.as_str() == name) {
        return;
    }
    let known: Vec<_> = database.available().map(|name| name.as_str().to_owned()).collect();
    let city = |name: &str| name.rsplit('/').next().unwrap_or_default().to_lowercase().replace(' ', "_");
    let of_city = known.iter().map(String::as_str).find(|known| city(known) == city(name));
    let meant = match of_city.or_else(|| nearest(name, known.iter().map(String::as_str))) {
        Some(known) => format!("Did you mean \"{known}\"?"),
        None => "It is a name such as Europe/Athens or America/New_York".to_owned(),
    };
    mistakes.add_of_value(Mistake::error(path, format!("\"{name}\" is no time zone")).meaning(meant));
}

pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Whether the text is a decimal number whose size is at most `limit`. Told by its digits: no float is needed.
fn is_within(text: &str, limit: u32) -> bool {
    let digits = text.trim().trim_start_matches(['-', '+']);
    if text.trim().len() > digits.len() + 1 {
        return false;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole)
        && all_digits(fraction)
        && whole
            .parse::<u32>()
            .is_ok_and(|whole| whole < limit || whole == limit && fraction.bytes().all(|byte| byte == b'0'))
}

/// Whether a text could be dialled. Numbers are written in too many ways for more.
fn is_phone(text: &str) -> bool {
    let text = text.trim();
    let rest = text.strip_prefix('+').unwrap_or(text);
    (5..=15).contains(&rest.bytes().filter(u8::is_ascii_digit).count())
        && rest.chars().all(|c| c.is_ascii_digit() || " -./()\u{a0}".contains(c))
}

fn is_email(text: &str) -> bool {
    let parts = text.trim().split_once('@');
    parts.is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.contains('@') && !text.trim().contains(' ')
    })
}

fn is_link(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::tests::{location, mistakes};
    use super::*;

    #[test]
    fn a_time_zone_is_one_that_there_is() {
        assert_eq!(mistakes(location(&json!({"timezone": "Europe/Athens"}))), Vec::<String>::new());
        for (name, meant) in [
            ("Europe/Athen", "Did you mean \"Europe/Athens\"?"),
            ("europe/athens", "Did you mean \"Europe/Athens\"?"),
            ("New York", "Did you mean \"America/New_York\"?"),
            ("Greek time", "It is a name such as Europe/Athens or America/New_York"),
        ] {
            let expected = format!("locations[0].timezone: \"{name}\" is no time zone. {meant}");
            assert_eq!(mistakes(location(&json!({"timezone": name}))), [expected]);
        }
    }

    #[test]
    fn degrees_are_decimal_numbers_of_the_globe() {
        for good in ["0", "-33.8915", "90", "90.000", "+12.5", "0.1"] {
            assert!(is_within(good, 90), "{good}");
        }
        for bad in
            ["90.001", "91", "-90.5", "1e1", "12,5", "12.", ".5", "--1", "north", "1 2", "9999999999999"]
        {
            assert!(!is_within(bad, 90), "{bad}");
        }
        assert_eq!(
            mistakes(location(&json!({"latitude": 37.44, "longitude": "200"}))),
            [
                "locations[0].longitude: \"200\" is no longitude. It is a decimal number from -180 to 180, such as \
              37.44"
            ]
        );
        assert_eq!(
            mistakes(location(&json!({"latitude": 37.44}))),
            ["locations[0].latitude: a latitude without a longitude is no place"]
        );
    }

    #[test]
    fn a_number_that_can_be_dialled_is_taken_however_it_is_written() {
        for good in ["+30 22890 12345", "(02) 9999-1234", "112233", "+1.415.555.0100"] {
            assert!(is_phone(good), "{good}");
        }
        for bad in ["1234", "call us", "+30 22890 12345 ext 7", "12+34567", "1234567890123456"] {
            assert!(!is_phone(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_said_of_a_person_is_not_quoted() {
        let contact = json!({"contact": {"phone": "Maria", "email": "maria at example.com"}});
        assert_eq!(
            mistakes(location(&contact)),
            [
                "locations[0].contact.phone: this is no phone number. It has 5 to 15 digits, such as +30 22890 12345",
                "locations[0].contact.email: this is no mail address",
            ]
        );
    }

    #[test]
    fn links_lead_somewhere() {
        let links = json!({"delivery_links": {"wolt": "https://wolt.com/harbour", "efood": "see menu"}});
        assert_eq!(
            mistakes(location(&links)),
            ["locations[0].delivery_links.efood: this is no link. A link begins with https://"]
        );
    }
}
