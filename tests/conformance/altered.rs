//! Samples that say something else than they did.

use serde_json::Value;
use tillwatch_domain::Cause;
use tillwatch_providers::request::SUFFIX;
use tillwatch_providers::{Failure, Headers};

use crate::Sample;
use crate::ways::reads_to_verify;

/// A type that no provider has.
const UNHEARD: &str = "unheard_of.type";

/// The sample under a type that is not modelled, and what that is called here. Where the type is neither in a header nor in
/// the JSON's `type`, the provider's own place for it is named.
pub(crate) fn unheard(sample: &Sample) -> (Sample, String) {
    let of_header = |value: &str| value == sample.kind;
    if sample.headers.iter().any(|(_, value)| of_header(value)) {
        let renamed = |(name, value)| (name, if of_header(value) { UNHEARD } else { value });
        let headers = sample.headers.iter().map(renamed).collect();
        return (sample.with_headers(headers), UNHEARD.to_owned());
    }
    if let Some(form) = as_form(sample) {
        let body = form.replace("MessageStatus=delivered", &format!("MessageStatus={UNHEARD}"));
        return (sample.with_body(body), format!("message.{UNHEARD}"));
    }
    let mut body: Value = serde_json::from_slice(&sample.body).expect("JSON");
    let (place, kind) = match sample.provider.name() {
        "zettle" => ("/eventName", UNHEARD.to_owned()),
        "odoo" => ("/_model", UNHEARD.to_owned()),
        "meta" => ("/entry/0/changes/0/field", format!("whatsapp_business_account.{UNHEARD}")),
        "petpooja" => {
            let headers = Headers::from_iter([(SUFFIX, format!("/harbour-petpooja/{UNHEARD}"))]);
            let restaurant = sample.event().dedupe.account;
            let body = serde_json::json!({"restID": restaurant, "one": 1, "other": 2});
            let sample = sample.with_headers(headers).with_body(body.to_string());
            return (sample, "unknown".to_owned());
        }
        _ => ("/type", UNHEARD.to_owned()),
    };
    let Some(said) = body.pointer_mut(place) else {
        panic!("{} has no {place}: name the place of its type in `unheard` here", sample.provider.name())
    };
    *said = UNHEARD.into();
    (sample.with_body(body.to_string()), kind)
}

/// The body's text, if it is a form.
pub(crate) fn as_form(sample: &Sample) -> Option<&str> {
    let text = std::str::from_utf8(&sample.body).expect("text");
    (sample.has_body() && !text.starts_with(['{', '['])).then_some(text)
}

/// The sample with this put into each place in turn that holds a value: in its headers, its JSON or form, and in JSON that
/// stands as text in the JSON.
pub(crate) fn with_everywhere(sample: &Sample, text: &str, number: u64) -> Vec<(String, Sample)> {
    let mut all = Vec::new();
    for (place, _) in sample.headers.iter() {
        let changed = |(name, value)| (name, if name == place { text } else { value });
        all.push((place.to_owned(), sample.with_headers(sample.headers.iter().map(changed).collect())));
    }
    if let Some(form) = as_form(sample) {
        let pairs: Vec<_> = form.split('&').collect();
        for (at, pair) in pairs.iter().enumerate() {
            let name = pair.split('=').next().unwrap_or_default();
            for changed in [format!("{name}={text}"), format!("{text}={name}"), format!("{name}=%{text}")] {
                let mut pairs = pairs.clone();
                pairs[at] = &changed;
                all.push((name.to_owned(), sample.with_body(pairs.join("&"))));
            }
        }
    } else if sample.has_body() {
        let body: Value = serde_json::from_slice(&sample.body).expect("JSON");
        for (place, body) in json_with_everywhere(&body, text, number) {
            all.push((place, sample.with_body(body.to_string())));
        }
    }
    all
}

fn json_with_everywhere(body: &Value, text: &str, number: u64) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for path in paths(body) {
        let put = |value: Value| {
            let mut body = body.clone();
            *body.pointer_mut(&path).expect("the place") = value;
            (path.clone(), body)
        };
        all.extend([Value::from(text), Value::from(number), vec![text].into()].map(put));
        let within = body.pointer(&path).and_then(Value::as_str);
        let within = within.and_then(|text| serde_json::from_str(text).ok()).filter(Value::is_object);
        for (inner, changed) in within.iter().flat_map(|json| json_with_everywhere(json, text, number)) {
            let (outer, body) = put(changed.to_string().into());
            all.push((format!("{outer}{inner}"), body));
        }
    }
    all
}

/// Where in the JSON something is, by JSON Pointer.
fn paths(value: &Value) -> Vec<String> {
    let beneath = |name: String, value: &Value| {
        let paths = paths(value).into_iter().map(move |path| format!("/{name}{path}"));
        paths.collect::<Vec<_>>()
    };
    let mut all = vec![String::new()];
    match value {
        Value::Object(fields) => {
            all.extend(fields.iter().flat_map(|(name, value)| beneath(name.clone(), value)));
        }
        Value::Array(items) => {
            all.extend(items.iter().enumerate().flat_map(|(place, value)| beneath(place.to_string(), value)));
        }
        _ => {}
    }
    all
}

/// Asserts that another body is not believed under the sample's signature. Where not the bytes are signed but what they
/// say, one that is believed all the same must be the same event with the same changes, or one without any.
pub(crate) fn assert_noticed(sample: &Sample, body: Vec<u8>) {
    let altered = sample.with_body(body);
    let verdict = altered.verdict(&[sample.signature("new")]);
    match verdict {
        Err(Failure::Rejected(Cause::WrongSignature)) => {}
        Err(Failure::Rejected(Cause::OtherAccount)) if reads_to_verify(sample.provider) => {}
        Ok(0) if reads_to_verify(sample.provider) => {
            let signed = sample.event();
            for event in altered.parse().unwrap_or_default() {
                assert_eq!(event.dedupe, signed.dedupe, "{}", sample.name());
                assert!(event.changes.is_empty() || event.changes == signed.changes, "{}", sample.name());
            }
        }
        _ => panic!("{}: {verdict:?}", sample.name()),
    }
}
