use proptest::prelude::*;

use super::super::finding::shown;
use super::*;
use crate::cli::output::Paint;

fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN_HARBOUR" => Some("from: the environment\"".to_owned()),
        "PLACE_HARBOUR" => Some("L1".to_owned()),
        _ => None,
    }
}

fn loaded(source: &str) -> Loaded {
    load(source.as_bytes(), Some(&environment))
}

/// What is wrong with a file, each with its line and column.
fn wrong(source: &str) -> Vec<String> {
    let said = |finding: &Finding| {
        let kind = if finding.severity == Severity::Warning { "warning: " } else { "" };
        format!("{}:{}: {kind}{}", finding.at.line, finding.at.column, finding.text)
    };
    loaded(source).findings.iter().map(said).collect()
}

const GOOD: &str = "
businesses:
  cafe: {name: The Café}
providers:
  square: {environment: sandbox}
locations:
  - id: harbour
    business: cafe
    phone: +30 22890 12345
    latitude: 37.440
    ordering_tables: [1, 02, terrace]
    longitude: 25.32
    options:
      wifi: yes
    opening_hours:
      mode: weekly
      Monday:
        - {Open: 09:00, Close: 17:00}
      sunday:
    providers:
      square:
        merchant_id: M1
        location_id: '{{ env `PLACE_HARBOUR` }}'
        access_token: {{ env \"TOKEN_HARBOUR\" }}
        sync_menu: True
connections:
  - business: cafe
    provider: stripe
    state: paused
";

#[test]
fn a_right_file_says_what_it_says() {
    let loaded = loaded(GOOD);
    assert_eq!(loaded.findings, []);
    let [location] = loaded.configuration.locations.as_slice() else { panic!() };
    let square = &location.providers["square"].settings;
    assert_eq!(square["access_token"].0, "from: the environment\"");
    assert_eq!((square["location_id"].0.as_str(), square["sync_menu"].0.as_str()), ("L1", "true"));
    assert_eq!(location.phone.as_deref(), Some("+30 22890 12345"));
    assert_eq!(location.latitude.as_ref().unwrap().0, "37.440");
    let tables: Vec<_> = location.ordering_tables.iter().map(|table| table.0.as_str()).collect();
    assert_eq!((tables, location.options["wifi"].0.as_str()), (vec!["1", "02", "terrace"], "yes"));
    let hours = location.opening_hours.as_ref().unwrap();
    assert_eq!(hours.days.values().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
    assert_eq!(loaded.configuration.connections[0].connection.state.name(), "paused");
}

#[test]
fn a_file_with_windows_line_ends_says_the_same() {
    let (one, other) = (loaded(GOOD), loaded(&GOOD.replace('\n', "\r\n")));
    assert_eq!(other.findings, []);
    assert_eq!(one.configuration, other.configuration);
}

#[test]
fn every_mistake_is_shown_at_its_place() {
    for (from, to, expected) in [
        (
            "merchant_id: M1",
            "merchant: M1",
            "22:9: unknown setting \"merchant\" of square. Did you mean \"merchant_id\"?",
        ),
        (
            "        merchant_id: M1\n",
            "",
            "21:7: \"merchant_id\" of square is missing. It is Square's id of the merchant",
        ),
        (
            "merchant_id: M1",
            "merchant_id:",
            "22:9: \"merchant_id\" is blank, and square can't do without it. It is Square's id of the merchant",
        ),
        ("merchant_id: M1", "merchant_id: [M1]", "22:22: \"merchant_id\" is a list, and must be a text"),
        ("      square:\n", "      sqare:\n", "21:7: unknown provider \"sqare\". Did you mean \"square\"?"),
        ("sync_menu: True", "sync_menu: yes", "25:20: \"sync_menu\" must be true or false. Say true"),
        (
            "    provider: stripe",
            "    provider: strip",
            "28:15: unknown provider \"strip\". Did you mean \"stripe\"?",
        ),
        (
            "state: paused",
            "state: pause",
            "29:12: \"pause\" is none of enabled, paused, disabled. Did you mean \"paused\"?",
        ),
        (
            "  - id: harbour",
            "  - id: Harbour",
            "7:9: \"Harbour\" can't be the id of a location. An id has up to 64 lower-case letters, digits and hyphens, and no hyphen at its ends",
        ),
        (
            "    business: cafe\n    phone",
            "    business: caffe\n    phone",
            "8:15: there is no business \"caffe\" under \"businesses\". Did you mean \"cafe\"?",
        ),
        (
            "    business: cafe\n    phone",
            "    phone",
            "7:5: it is not said which business this location belongs to. Say \"business\" with the business's id",
        ),
        ("    phone:", "    phon:", "9:5: unknown name \"phon\". Did you mean \"phone\"?"),
        ("+30 22890 12345", "[1]", "9:12: \"phone\" is a list, and must be a text"),
        (
            "latitude: 37.440",
            "latitude: 97.440",
            "10:15: \"97.440\" is no latitude. It is a decimal number from -90 to 90, such as 37.44",
        ),
        (
            "ordering_tables: [1, 02, terrace]",
            "ordering_tables: 12",
            "11:22: \"ordering_tables\" is a text, and must be a list, each entry on a line of its own after \"- \"",
        ),
        ("mode: weekly", "mode: sometimes", "16:13: \"sometimes\" is none of weekly, always, closed"),
        ("Monday", "Mondag", "17:7: unknown name \"Mondag\". Did you mean \"monday\"?"),
        ("sunday:", "monday:", "19:7: \"monday\" is said twice here"),
        ("Open: 09:00", "Open: 9:00", "18:18: \"9:00\" is no time of the day. Write it as in 09:30 or 23:00"),
        ("Open: 09:00", "Opens: 09:00", "18:12: unknown name \"Opens\". Did you mean \"open\"?"),
        (
            "{Open: 09:00, Close: 17:00}",
            "09:00-17:00",
            "18:11: this is a text, and must be a map such as {open: \"09:00\", close: \"17:00\"}",
        ),
        ("locations:\n", "location:\n", "6:1: unknown name \"location\". Did you mean \"locations\"?"),
        (
            "'{{ env `PLACE_HARBOUR` }}'",
            "'{{ PLACE_HARBOUR }}'",
            "23:22: only {{ env \"NAME\" }} can stand between {{ and }}",
        ),
        (
            "PLACE_HARBOUR",
            "GONE_HARBOUR",
            "23:22: the environment variable GONE_HARBOUR is not set, or is empty",
        ),
        ("- id: harbour", "- id: harbour\n    id: hill", "8:5: \"id\" is said twice here"),
        ("      mode: weekly", "      mode: weekly\n\ttuesday:", "17:1: a tab can't indent here. Use spaces"),
        (
            "{name: The Café}",
            "The Café",
            "3:9: \"cafe\" is a text, and must be a map, each line of it a name, a colon and a value",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let said = wrong(&GOOD.replacen(from, to, 1));
        // A mistyped hour or list leaves others without what they need; those come second.
        assert!(said.iter().any(|said| said == expected), "{to}: {said:#?}");
        assert!(said.len() <= 2, "{to}: {said:#?}");
    }
}

#[test]
fn an_entry_that_can_not_be_read_does_not_move_those_after_it() {
    let source = "
locations:
  - harbour
  - {id: hill, business: cafe, timezone: x}
connections:
  -
  - {business: cafe, provider: strip}
";
    let said = wrong(source);
    let places: Vec<_> = said.iter().map(|said| said.split(' ').next().unwrap()).collect();
    assert_eq!(places, ["3:5:", "4:42:", "6:4:", "7:32:"], "{said:#?}");
}

#[test]
fn one_mistake_does_not_hide_the_next() {
    let source = GOOD
        .replace("merchant_id: M1", "merchant: M1")
        .replace("Europe", "Rome")
        .replace("37.440", "north")
        .replace("state: paused", "state: pause");
    assert_eq!(wrong(&source).len(), 3);
}

#[test]
fn a_variable_that_is_not_set_is_said_once_with_every_place() {
    let source = GOOD.replace("PLACE_HARBOUR", "GONE_HARBOUR").replace("TOKEN_HARBOUR", "GONE_HARBOUR");
    let loaded = loaded(&source);
    let [finding] = loaded.findings.as_slice() else { panic!("{:?}", loaded.findings) };
    assert_eq!(finding.text, "the environment variable GONE_HARBOUR is not set, or is empty");
    assert_eq!((finding.at.line, finding.others[0].line), (23, 24));
}

#[test]
fn a_file_is_checked_without_its_variables() {
    let source = GOOD.replace("sync_menu: True", "sync_menu: {{ env \"SYNC_HARBOUR\" }}");
    assert_eq!(load(source.as_bytes(), None).findings, []);
    let missing = GOOD.replace("        merchant_id: M1\n", "");
    assert_eq!(load(missing.as_bytes(), None).findings.len(), 1);
}

#[test]
fn anchors_hold_what_several_locations_share() {
    let source = "
x-hours: &hours
  mode: weekly
  monday: &short [{open: '10:00', close: '15:00'}]
  tuesday: *short
locations:
  - {id: a, business: cafe, opening_hours: *hours}
  - id: b
    business: cafe
    opening_hours:
      <<: *hours
      tuesday: []
";
    let loaded = loaded(source);
    assert_eq!(loaded.findings, []);
    let opening = |index: usize| {
        let hours = loaded.configuration.locations[index].opening_hours.as_ref().unwrap();
        hours.days.values().map(Vec::len).collect::<Vec<_>>()
    };
    assert_eq!((opening(0), opening(1)), (vec![1, 1], vec![1, 0]));
    let broken = source.replace("'10:00'", "'25:00'");
    assert_eq!(wrong(&broken)[0].split(' ').next(), Some("4:26:"));
}

#[test]
fn secrets_and_people_are_never_shown() {
    let source = "
locations:
  - id: a
    business: cafe
    contact: {name: hunter2, phone: hunter2, email: hunter2, fax: hunter2}
    providers:
      square: {merchant_id: M, access_token: hunter2, url_key: hunter2, role: x, acces_token: hunter2}
      sqare: {access_token: hunter2, x: 1}
      sqare: {access_token: hunter2, <<: hunter2}
      stripe: {api_key: x, api_key: hunter2, <<: {api_key: hunter2, y: 1}}
      shopify: hunter2
connections:
  - {business: cafe, provider: stripe, api_key: hunter2, state: x}
  - {business: cafe, provider: strip, api_key: hunter2}
  - {business: cafe, provider: shopify, access_token: [hunter2], x: |}
providers:
  square: {access_token: hunter2, sync: 1}
  shopify: [hunter2]
token: hunter2
";
    let broken = "a: b\n token: hunter2\n";
    for source in [source, broken, "a: \"hunter2\n", "hunter2\n\tb: hunter2", "- a: hunter2\n hunter2\n"] {
        let loaded = loaded(source);
        assert!(!loaded.findings.is_empty());
        let lines: Vec<_> = source.lines().collect();
        for finding in &loaded.findings {
            let text = shown("f", &lines, finding, &loaded.hidden, Paint::none());
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}

#[test]
fn what_comes_from_the_environment_is_not_quoted() {
    let source = "
locations:
  - id: {{ env \"TOKEN_HARBOUR\" }}
    business: cafe
    timezone: {{ env \"TOKEN_HARBOUR\" }}
    opening_hours:
      mode: {{ env \"TOKEN_HARBOUR\" }}
      friday: [{open: {{ env \"TOKEN_HARBOUR\" }}, close: '10:00'}]
    providers:
      square:
        id: {{ env \"TOKEN_HARBOUR\" }}
        state: {{ env \"TOKEN_HARBOUR\" }}
";
    let said = wrong(source).join("\n");
    assert!(said.matches("{{ env \"TOKEN_HARBOUR\" }}").count() >= 6, "{said}");
    assert!(!said.contains("from: the environment"), "{said}");
}

#[test]
fn what_may_be_shown_is_shown() {
    let source = "locations: [{id: a, business: b, providers: {\n\
                  square: {sync_menu: maybe, merchant_id: M1}}}]\n";
    let loaded = loaded(source);
    let lines: Vec<_> = source.lines().collect();
    let text = shown("f", &lines, &loaded.findings[0], &loaded.hidden, Paint::none());
    assert!(text.contains("2 | square: {sync_menu: maybe, merchant_id: M1}}}]\n"), "{text}");
}

#[test]
fn a_file_of_nothing_but_mistakes_is_refused_in_the_time_that_reading_it_takes() {
    let names: Vec<_> = (0..100_000).map(|index| format!("  k{index}: hunter2\n")).collect();
    let names = names.concat();
    let loaded = loaded(&format!("providers:\n{names}connections:\n{names}"));
    assert_eq!((loaded.findings.len(), loaded.more), (MOST, 200_001 - MOST));
}

proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let loaded = load(&bytes, Some(&environment));
        let _ = loaded.is_wrong();
    }

    #[test]
    fn any_text_made_of_what_yaml_acts_upon_is_read_or_refused(
        text in "([-:?,\\[\\]{}#&*!|>'\"%@`~<. \n\t]|\r\n|a|id|<<|\\*a|&a |locations:|providers:|\\{\\{ env `A` \\}\\}){0,80}"
    ) {
        let loaded = load(text.as_bytes(), Some(&environment));
        let lines: Vec<_> = text.lines().collect();
        for finding in &loaded.findings {
            let _ = shown("f", &lines, finding, &loaded.hidden, Paint::none());
        }
    }

    #[test]
    fn a_file_that_is_damaged_anywhere_is_read_or_refused(
        at in 0..GOOD.len(), length in 0_usize..40, instead in "[-:{}\\[\\]&*|>'\" \n\ta]{0,4}"
    ) {
        let mut bytes = GOOD.as_bytes().to_vec();
        bytes.splice(at..(at + length).min(GOOD.len()), instead.into_bytes());
        let loaded = load(&bytes, None);
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        for finding in &loaded.findings {
            prop_assert!(finding.at.line >= 1);
            let _ = shown("f", &lines, finding, &loaded.hidden, Paint::none());
        }
    }
}
