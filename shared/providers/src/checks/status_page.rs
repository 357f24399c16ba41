//! What a provider says of its own incidents, in the form of Statuspage's `summary.json`.

use serde_json::Value;

use crate::call::Response;
use crate::subscriptions::text;

/// What a status page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How bad it is, in the page's own word: `none`, `minor`, `major`, `critical`, `maintenance`.
    pub indicator: String,
    /// The names of its open incidents, the first ten.
    pub incidents: Vec<String>,
}

impl Told {
    /// Whether it tells of an incident. Maintenance that was announced is one too while it lasts.
    pub fn is_incident(&self) -> bool {
        self.indicator != "none"
    }
}

const INDICATORS: [&str; 5] = ["none", "minor", "major", "critical", "maintenance"];
/// How many incidents are kept, and how much of a name.
const INCIDENTS: usize = 10;
const LONGEST_NAME: usize = 200;

/// What the page says; none, if what came is no such page: then nothing is known.
pub fn read(response: &Response) -> Option<Told> {
    if response.status != 200 {
        return None;
    }
    let page = response.json()?;
    let indicator = text(&page, "/status/indicator").filter(|word| INDICATORS.contains(word))?.to_owned();
    let open = |incident: &&Value| !matches!(text(incident, "/status"), Some("resolved" | "postmortem"));
    let incidents = page.get("incidents").and_then(Value::as_array).into_iter().flatten().filter(open);
    let name = |incident: &Value| Some(text(incident, "/name")?.chars().take(LONGEST_NAME).collect());
    Some(Told { indicator, incidents: incidents.filter_map(name).take(INCIDENTS).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing::answer;

    #[test]
    fn a_page_tells_how_bad_it_is_and_what_is_open() {
        let body = r#"{"page":{"name":"Stripe"},"status":{"indicator":"major","description":"Partial outage"},
            "incidents":[{"name":"Elevated errors","status":"investigating"},{"name":"Old","status":"resolved"}]}"#;
        let told = read(&answer(200, body)).unwrap();
        assert!(told.is_incident());
        assert_eq!(told, Told { indicator: "major".into(), incidents: vec!["Elevated errors".into()] });
        let fine = read(&answer(200, r#"{"status":{"indicator":"none"}}"#)).unwrap();
        assert!(!fine.is_incident() && fine.incidents.is_empty());
    }

    #[test]
    fn what_is_no_such_page_tells_nothing() {
        for (status, body) in [
            (200, "<html>"),
            (503, r#"{"status":{"indicator":"none"}}"#),
            (200, r#"{"status":{"indicator":"odd"}}"#),
        ] {
            assert_eq!(read(&answer(status, body)), None, "{body}");
        }
    }
}
