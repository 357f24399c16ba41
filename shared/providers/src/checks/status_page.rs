//! What a provider says of its own incidents, on a page for machines. Of three forms: Statuspage's `summary.json`, Google's
//! `incidents.json`, and Meta's `orgs.json`, which Meta documents nowhere.
//!
//! What stands on such a page is of everything that the provider does. An incident counts only if it concerns what is called
//! from here; of the others it is told that they are there. Names are somebody else's text: clipped, and without anything
//! that is no letter, sign or space.

use serde::{Deserialize, Serialize};

use crate::call::Response;

/// Where a provider tells of its own incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusPage {
    /// Its URL.
    pub url: &'static str,
    /// What is to be read there.
    pub form: Form,
}

/// The form of a page, and what of it concerns what is called from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Statuspage's `summary.json`, or what answers in its form. An incident concerns us if it is of a component in whose name
    /// one of these stands, in lower case. None of them: each does.
    Statuspage(&'static [&'static str]),
    /// Google's `incidents.json`, and the product.
    Google(&'static str),
    /// Meta's `orgs.json`: the ids of the groups, and which of a group's services by name. None of them: each.
    Meta(&'static [(&'static str, &'static [&'static str])]),
}

/// What a status page says. Stored under one-letter names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// How bad it is, for all that the page is of: `none`, `minor`, `major`, `critical`, `maintenance`.
    #[serde(rename = "s")]
    pub status: String,
    /// Its open incidents, those that concern us first, at most five.
    #[serde(rename = "i", default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<Incident>,
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// Its name.
    #[serde(rename = "n")]
    pub name: String,
    /// Whether it concerns what is called from here.
    #[serde(rename = "c", default)]
    pub concerns: bool,
}

/// How many incidents are kept, and how much of a name.
const INCIDENTS: usize = 5;
const LONGEST_NAME: usize = 120;

impl Told {
    fn of(status: &str, mut incidents: Vec<Incident>) -> Self {
        incidents.sort_by_key(|incident| !incident.concerns);
        incidents.truncate(INCIDENTS);
        Self { status: status.to_owned(), incidents }
    }

    /// The incident that concerns what is called from here, if there is one. Maintenance is one too while it lasts.
    pub fn incident(&self) -> Option<&Incident> {
        self.incidents.iter().find(|incident| incident.concerns)
    }
}

impl Incident {
    fn new(name: &str, concerns: bool) -> Self {
        Self { name: plain(name), concerns }
    }
}

/// Somebody else's text as one short line. What turns the direction of writing or is not seen at all goes with the control
/// characters.
fn plain(text: &str) -> String {
    let is_unseen = |sign: char| {
        matches!(sign, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(sign, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    // What is longer by far is not gone through to its end.
    let seen = text.chars().take(LONGEST_NAME * 8).filter(|sign| !is_unseen(*sign));
    let spaced: String = seen.map(|sign| if sign.is_control() { ' ' } else { sign }).collect();
    let words: Vec<_> = spaced.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST_NAME).collect()
}

impl Form {
    /// What the page says; none, if what came is no such page: then nothing is known.
    pub fn read(self, response: &Response) -> Option<Told> {
        if response.status != 200 {
            return None;
        }
        match self {
            Self::Statuspage(components) => summary(&parsed(response)?, components),
            Self::Google(product) => Some(google(&parsed::<Vec<GoogleIncident>>(response)?, product)),
            Self::Meta(services) => meta(&parsed::<Vec<Group>>(response)?, services),
        }
    }
}

fn parsed<T: serde::de::DeserializeOwned>(response: &Response) -> Option<T> {
    serde_json::from_slice(&response.body).ok()
}

#[derive(Deserialize)]
struct Summary {
    status: Overall,
    #[serde(default)]
    components: Vec<Component>,
    #[serde(default)]
    incidents: Vec<Entry>,
    #[serde(default)]
    scheduled_maintenances: Vec<Entry>,
}

#[derive(Deserialize)]
struct Overall {
    indicator: String,
    #[serde(default)]
    description: Option<String>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    impact: Option<String>,
    #[serde(default)]
    components: Option<Vec<Component>>,
}

const INDICATORS: [&str; 5] = ["none", "minor", "major", "critical", "maintenance"];

fn summary(page: &Summary, wanted: &[&str]) -> Option<Told> {
    let status = INDICATORS.into_iter().find(|word| *word == page.status.indicator)?;
    let is_wanted = |component: &&Component| {
        let name = component.name.to_lowercase();
        wanted.is_empty() || wanted.iter().any(|word| name.contains(word))
    };
    let is_well = |component: &&Component| component.status == "operational";
    let unwell = page.components.iter().filter(is_wanted).find(|component| !is_well(component));
    let concerns = |entry: &Entry| match &entry.components {
        _ if entry.impact.as_deref() == Some("none") => false,
        _ if wanted.is_empty() => true,
        Some(components) if !components.is_empty() => components.iter().any(|one| is_wanted(&one)),
        // It does not say what it is of. Then those that we call say whether they are well, if they are there.
        _ => unwell.is_some() || !page.components.iter().any(|one| is_wanted(&one)),
    };
    let is_open = |entry: &&Entry| {
        !matches!(entry.status.as_str(), "resolved" | "postmortem" | "completed" | "scheduled")
    };
    let open = page.incidents.iter().chain(&page.scheduled_maintenances).filter(is_open);
    let mut incidents: Vec<_> = open.map(|entry| Incident::new(&entry.name, concerns(entry))).collect();
    if !incidents.iter().any(|incident| incident.concerns) {
        // What is not well without an incident that says so.
        if let (Some(component), false) = (unwell, wanted.is_empty()) {
            let told = format!("{}: {}", component.name, component.status.replace('_', " "));
            incidents.push(Incident::new(&told, true));
        } else if wanted.is_empty() && status != "none" {
            incidents.push(Incident::new(page.status.description.as_deref().unwrap_or(status), true));
        }
    }
    Some(Told::of(status, incidents))
}

#[derive(Deserialize)]
struct GoogleIncident {
    #[serde(default)]
    end: Option<String>,
    #[serde(default)]
    service_name: Option<String>,
    #[serde(default)]
    affected_products: Option<Vec<Product>>,
    #[serde(default)]
    severity: Option<String>,
    #[serde(default)]
    external_desc: Option<String>,
}

#[derive(Deserialize)]
struct Product {
    #[serde(default)]
    title: String,
}

/// The page tells of all that there ever was; what has no end goes on.
fn google(all: &[GoogleIncident], product: &str) -> Told {
    let is_of = |incident: &&GoogleIncident| {
        let mut others = incident.affected_products.iter().flatten();
        incident.service_name.as_deref() == Some(product) || others.any(|other| other.title == product)
    };
    let goes_on = |incident: &&GoogleIncident| incident.end.as_deref().is_none_or(str::is_empty);
    let open: Vec<_> = all.iter().filter(goes_on).filter(is_of).collect();
    let grade = |incident: &&&GoogleIncident| match incident.severity.as_deref() {
        Some("high") => "critical",
        Some("medium") => "major",
        _ => "minor",
    };
    let place = |word: &&str| INDICATORS.iter().position(|known| known == word);
    let status = open.iter().map(|incident| grade(&incident)).max_by_key(place).unwrap_or("none");
    let name = |incident: &&GoogleIncident| {
        Incident::new(incident.external_desc.as_deref().unwrap_or(product), true)
    };
    Told::of(status, open.iter().map(name).collect())
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    id: serde_json::Value,
    #[serde(default)]
    services: Vec<Component>,
}

/// Says `No known issues`, `Resolved`, or how great the disruption is. Of what says none of these nothing is known.
fn meta(groups: &[Group], wanted: &[(&str, &[&str])]) -> Option<Told> {
    let is_wanted = |group: &Group, service: &Component| {
        let is_named = |names: &[&str]| names.is_empty() || names.contains(&service.name.as_str());
        wanted.iter().any(|(id, names)| group.id.as_str() == Some(id) && is_named(names))
    };
    let all = groups.iter().flat_map(|group| group.services.iter().map(move |service| (group, service)));
    let ours: Vec<_> = all.filter(|(group, service)| is_wanted(group, service)).collect();
    if ours.is_empty() {
        return None;
    }
    let disrupted = |service: &Component| {
        let status = service.status.to_lowercase();
        match (status.contains("disruption"), status.contains("high")) {
            (true, true) => Some("critical"),
            (true, false) => Some("minor"),
            (false, _) => None,
        }
    };
    let bad = ours.iter().filter_map(|(_, service)| Some((disrupted(service)?, *service)));
    let bad: Vec<_> = bad.collect();
    let name = |service: &Component| Incident::new(&format!("{}: {}", service.name, service.status), true);
    let status = if bad.iter().any(|(word, _)| *word == "critical") { "critical" } else { "minor" };
    let status = if bad.is_empty() { "none" } else { status };
    Some(Told::of(status, bad.iter().map(|(_, service)| name(service)).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::checks::testing::answer;

    const API: Form = Form::Statuspage(&["api"]);
    const ANY: Form = Form::Statuspage(&[]);

    /// What a page says: the status, and the incidents, with `!` before those that concern us.
    fn told(form: Form, body: &serde_json::Value) -> (String, Vec<String>) {
        let told = form.read(&answer(200, &body.to_string())).unwrap();
        let marked =
            |incident: &Incident| format!("{}{}", if incident.concerns { "!" } else { "" }, incident.name);
        (told.status.clone(), told.incidents.iter().map(marked).collect())
    }

    fn page(
        indicator: &str,
        incidents: &serde_json::Value,
        components: &serde_json::Value,
    ) -> serde_json::Value {
        json!({"page": {"name": "Stripe"}, "status": {"indicator": indicator, "description": "Partial outage"},
            "incidents": incidents, "components": components})
    }

    fn of(name: &str, components: &[&str]) -> serde_json::Value {
        let components: Vec<_> = components.iter().map(|name| json!({"name": name})).collect();
        json!({"name": name, "status": "investigating", "impact": "major", "components": components})
    }

    #[test]
    fn an_incident_concerns_us_if_it_is_of_what_we_call() {
        let incidents =
            json!([of("Late payouts", &["Payouts"]), of("Elevated errors", &["Stripe API", "Payouts"])]);
        let wanted = ["!Elevated errors", "Late payouts"].map(str::to_owned).to_vec();
        assert_eq!(told(API, &page("major", &incidents, &json!([]))), ("major".to_owned(), wanted));
        let all = told(ANY, &page("major", &incidents, &json!([]))).1;
        assert_eq!(all, ["!Late payouts", "!Elevated errors"]);
    }

    #[test]
    fn what_is_over_or_only_announced_or_without_any_impact_is_no_incident() {
        let entry = |status: &str, impact: &str| json!({"name": status, "status": status, "impact": impact});
        let over = json!([entry("resolved", "major"), entry("postmortem", "major")]);
        assert_eq!(told(ANY, &page("none", &over, &json!([]))), ("none".to_owned(), vec![]));
        let mut announced = page("none", &json!([entry("monitoring", "none")]), &json!([]));
        announced["scheduled_maintenances"] = json!([entry("scheduled", "maintenance")]);
        assert_eq!(told(ANY, &announced).1, ["monitoring"]);
        announced["scheduled_maintenances"] = json!([entry("in_progress", "maintenance")]);
        assert_eq!(told(ANY, &announced).1, ["!in_progress", "monitoring"]);
    }

    #[test]
    fn an_incident_that_does_not_say_what_it_is_of_is_judged_by_how_what_we_call_does() {
        let silent = json!([of("Something", &[])]);
        let component = |status: &str| json!([{"name": "REST API", "status": status}, {"name": "SMS", "status": "major_outage"}]);
        assert_eq!(told(API, &page("minor", &silent, &component("operational"))).1, ["Something"]);
        assert_eq!(told(API, &page("minor", &silent, &component("partial_outage"))).1, ["!Something"]);
        assert_eq!(told(API, &page("minor", &silent, &json!([]))).1, ["!Something"]);
    }

    #[test]
    fn what_is_not_well_is_told_though_no_incident_says_so() {
        let components = json!([{"name": "REST API", "status": "degraded_performance"}]);
        assert_eq!(told(API, &page("minor", &json!([]), &components)).1, ["!REST API: degraded performance"]);
        assert_eq!(told(ANY, &page("minor", &json!([]), &json!([]))).1, ["!Partial outage"]);
        assert_eq!(told(API, &page("minor", &json!([]), &json!([]))).1, Vec::<String>::new());
    }

    #[test]
    fn of_googles_incidents_those_of_the_product_that_go_on_are_told() {
        let incident = |service: &str, end: Option<&str>, severity: &str| {
            json!({"begin": "2026-11-23T22:00:00+00:00", "end": end, "service_name": service,
                "severity": severity, "external_desc": format!("{service} is late"), "status_impact": "SERVICE_DISRUPTION"})
        };
        let calendar = Form::Google("Google Calendar");
        let past = json!([
            incident("Gmail", None, "high"),
            incident("Google Calendar", Some("2026-11-20T22:00:00+00:00"), "high"),
        ]);
        assert_eq!(told(calendar, &past), ("none".to_owned(), vec![]));
        let sign_in = json!({"severity": "low", "external_desc": "Sign-in fails",
            "affected_products": [{"title": "Google Calendar"}]});
        let all = json!([past[0], past[1], incident("Google Calendar", None, "medium"), sign_in]);
        let wanted = ["!Google Calendar is late", "!Sign-in fails"].map(str::to_owned).to_vec();
        assert_eq!(told(calendar, &all), ("major".to_owned(), wanted));
    }

    #[test]
    fn of_metas_services_those_that_we_call_are_told() {
        let form = Form::Meta(&[("whatsapp-business-api", &["Cloud API"]), ("graph-api", &[])]);
        let page = |cloud: &str, flows: &str| {
            json!([{"id": "whatsapp-business-api", "name": "WhatsApp Business Platform", "services": [
                {"id": 4, "name": "Cloud API", "status": cloud}, {"id": 7, "name": "Flows", "status": flows}]},
                {"id": 9, "services": []}])
        };
        for (cloud, status, incidents) in [
            ("No known issues", "none", vec![]),
            ("Resolved", "none", vec![]),
            ("Low disruptions", "minor", vec!["!Cloud API: Low disruptions"]),
            ("High disruptions", "critical", vec!["!Cloud API: High disruptions"]),
        ] {
            let found = told(form, &page(cloud, "High disruptions"));
            assert_eq!(
                (found.0.as_str(), found.1),
                (status, incidents.into_iter().map(str::to_owned).collect())
            );
        }
        assert_eq!(form.read(&answer(200, "[]")), None, "what we call is not on it");
    }

    #[test]
    fn what_is_no_such_page_tells_nothing() {
        for (status, body) in [
            (200, "<html>"),
            (503, r#"{"status":{"indicator":"none"}}"#),
            (200, r#"{"status":{"indicator":"odd"}}"#),
            (200, "[[[["),
            (200, ""),
        ] {
            for form in [ANY, API, Form::Google("x"), Form::Meta(&[("x", &["y"])])] {
                assert_eq!(form.read(&answer(status, body)), None, "{body}");
            }
        }
    }

    #[test]
    fn each_page_is_asked_by_https_and_names_nothing_in_capitals() {
        let pages =
            crate::ALL.iter().filter_map(|provider| crate::checks::of(provider.name())?.status_page());
        for StatusPage { url, form } in pages {
            assert!(url.starts_with("https://"), "{url}");
            if let Form::Statuspage(components) = form {
                assert!(components.iter().all(|word| word.to_lowercase() == *word), "{url}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_name_is_one_short_line_whatever_it_was(name in ".{0,400}", indicator in "none|minor") {
            let body = page(&indicator, &json!([of(&name, &["API"])]), &json!([]));
            for incident in API.read(&answer(200, &body.to_string())).unwrap().incidents {
                prop_assert!(incident.name.chars().count() <= LONGEST_NAME);
                prop_assert!(!incident.name.chars().any(char::is_control));
                let is_unseen = incident.name.contains(['\u{202e}', '\u{200b}', '\u{2028}']);
                prop_assert!(!is_unseen);
            }
        }
    }
}
