//! A configuration as YAML that people can read, and that reads as the same configuration.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use tillwatch_domain::location::Configuration;

/// A value whose names are in the order in which they were written.
enum Ordered {
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// The configuration's YAML.
pub(super) fn yaml(configuration: &Configuration) -> Result<String, serde_json::Error> {
    let Ordered::Map(mut entries) = serde_json::from_str(&serde_json::to_string(configuration)?)? else {
        return Ok(String::new());
    };
    entries.retain(|(name, value)| name == "locations" || !value.is_empty());
    let mut text = String::new();
    write_map(&entries, 0, &mut text);
    Ok(text)
}

fn write_map(entries: &[(String, Ordered)], indent: usize, text: &mut String) {
    for (index, (name, value)) in entries.iter().enumerate() {
        if indent == 0 || index > 0 {
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(&scalar(name));
        text.push(':');
        write_value(value, indent, text);
    }
}

/// Writes what comes after a name, up to the line's end.
fn write_value(value: &Ordered, indent: usize, text: &mut String) {
    let inner = indent + 2;
    match value {
        Ordered::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            text.push_str(&" ".repeat(inner));
            write_map(entries, inner, text);
        }
        Ordered::List(entries) if !entries.is_empty() => {
            text.push('\n');
            for entry in entries {
                text.push_str(&" ".repeat(inner));
                text.push('-');
                match entry {
                    Ordered::Map(entries) if entries.len() > 2 || !entry.is_flat() => {
                        text.push(' ');
                        write_map(entries, inner + 2, text);
                    }
                    // No configuration has lists in lists.
                    entry => text.push_str(&format!(" {}\n", entry.on_one_line())),
                }
            }
        }
        flat => {
            text.push(' ');
            text.push_str(&flat.on_one_line());
            text.push('\n');
        }
    }
}

impl Ordered {
    fn is_empty(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::List(entries) => entries.is_empty(),
            Self::Map(entries) => entries.is_empty(),
        }
    }

    /// Whether it has no lists or maps in it.
    fn is_flat(&self) -> bool {
        let is_text = |value: &Self| matches!(value, Self::Text(_));
        match self {
            Self::Text(_) => true,
            Self::List(entries) => entries.iter().all(is_text),
            Self::Map(entries) => entries.iter().all(|(_, value)| is_text(value)),
        }
    }

    fn on_one_line(&self) -> String {
        match self {
            Self::Text(text) => scalar(text),
            Self::List(entries) => {
                format!("[{}]", entries.iter().map(Self::on_one_line).collect::<Vec<_>>().join(", "))
            }
            Self::Map(entries) => {
                let entry =
                    |(name, value): &(String, Self)| format!("{}: {}", scalar(name), value.on_one_line());
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// A text as YAML: as it is where every reader takes it for what it is, else in quotes.
fn scalar(text: &str) -> String {
    let is_plain_char = |c: char| c.is_alphanumeric() || "_-./+@ ".contains(c);
    let begins = text.starts_with(|c: char| c.is_alphabetic());
    let means_else = ["null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if is_number(text) || begins && !means_else && !text.ends_with(' ') && text.chars().all(is_plain_char) {
        return text.to_owned();
    }
    // Quotes inside of placeholders stay readable in quotes of the other kind.
    if text.starts_with("{{")
        && !text.contains('\'')
        && text.chars().all(|c| c == ' ' || c.is_ascii_graphic())
    {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a text is a number as every reader writes it again.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "1"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all_digits(whole)
        && all_digits(fraction)
        && digits.len() <= 15
        && (whole == "0" || !whole.starts_with('0'))
        && text != "-0"
        && !fraction.ends_with('0')
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part of a configuration")
            }

            fn visit_str<E>(self, text: &str) -> Result<Ordered, E> {
                Ok(Ordered::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Ok(Ordered::List(entries))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered::Map(entries))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use tillwatch_domain::location::{Location, Scalar};

    use super::super::load::load;
    use super::*;

    #[test]
    fn a_file_reads_as_people_write_one() {
        let configuration = json!({"locations": [{
            "id": "harbour", "business": "cafe", "latitude": "37.44", "ordering_tables": ["1", "02"],
            "opening_hours": {"mode": "weekly", "monday": [{"open": "09:00", "close": "17:00"}], "sunday": []},
            "providers": {"square": {"merchant_id": "M 1", "sync_menu": "true", "access_token": "{{ env \"A\" }}"}},
        }]});
        let configuration = serde_json::from_value(configuration).unwrap();
        let expected = "\
locations:
  - id: harbour
    business: cafe
    latitude: 37.44
    ordering_tables:
      - 1
      - \"02\"
    opening_hours:
      mode: weekly
      monday:
        - {open: \"09:00\", close: \"17:00\"}
      sunday: []
    providers:
      square:
        state: enabled
        role: primary
        access_token: '{{ env \"A\" }}'
        merchant_id: M 1
        sync_menu: true
";
        assert_eq!(yaml(&configuration).unwrap(), expected);
    }

    #[test]
    fn a_configuration_of_nothing_is_one_without_locations() {
        assert_eq!(yaml(&Configuration::default()).unwrap(), "locations: []\n");
    }

    proptest! {
        #[test]
        fn any_text_is_read_again_as_it_was(
            name in "\\PC{0,30}|[-:#&*!|>'\"%@`,\\[\\]{}?~ \n\t\r\u{85}\u{2028}\u{7f}\0a0-9.]{0,12}",
            key in "[a-zA-Z0-9 :#_'\"-]{1,12}",
        ) {
            prop_assume!(!name.contains("{{") && key != "<<");
            let location = Location {
                id: "a".into(),
                business: "b".into(),
                name: Some(name.clone()),
                options: [(key, Scalar(name))].into(),
                ..Location::default()
            };
            let configuration = Configuration { locations: vec![location], ..Configuration::default() };
            let text = yaml(&configuration).unwrap();
            let loaded = load(text.as_bytes(), None);
            prop_assert_eq!(loaded.findings, []);
            prop_assert_eq!(loaded.configuration, configuration);
        }
    }
}
