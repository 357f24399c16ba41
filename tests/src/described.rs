//! The API's description, `docs/openapi.json`, and whether an answer is what it says.

use std::sync::LazyLock;

use serde_json::Value;

static DESCRIPTION: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../docs/openapi.json")).expect("the description is JSON")
});

/// Asserts that an answer is one that the description tells of. Operations that it does not describe may answer anything.
pub fn assert_described(method: &str, path: &str, status: i64, content_type: &str, body: &Value) {
    let Some(operation) = operation(method, path) else { return };
    let response = &operation["responses"][status.to_string()];
    assert!(response.is_object(), "{method} {path} answers {status}, which is not described: {body}");
    let content = &response["content"][content_type];
    assert!(content.is_object(), "{method} {path} {status} answers {content_type:?}, which is not described");
    // What is no JSON is any text.
    if content_type.ends_with("json") {
        let mut wrong = Vec::new();
        differences(&content["schema"], body, "$", &mut wrong);
        assert!(wrong.is_empty(), "{method} {path} {status} is not as described: {wrong:?}: {body}");
    }
}

fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let is_of = |template: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        let mut parts = template.iter().zip(&path);
        template.len() == path.len() && parts.all(|(known, part)| known.starts_with('{') || known == part)
    };
    // A path that names all its parts comes before one that leaves some open.
    let mut paths: Vec<_> =
        DESCRIPTION["paths"].as_object()?.iter().filter(|(path, _)| is_of(path)).collect();
    paths.sort_by_key(|(path, _)| path.matches('{').count());
    paths.first()?.1.get(method.to_lowercase())
}

/// The schema itself, where another only refers to it.
fn resolved(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let pointer = reference.trim_start_matches('#');
            DESCRIPTION.pointer(pointer).unwrap_or_else(|| panic!("{reference} is there"))
        }
        None => schema,
    }
}

fn list(value: &'static Value) -> impl Iterator<Item = &'static Value> {
    value.as_array().into_iter().flatten()
}

/// What of the value is not as the schema says.
fn differences(schema: &'static Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = resolved(schema);
    // Nothing is said of it, so it may be anything.
    if ["type", "oneOf", "allOf", "properties"].iter().all(|word| schema.get(*word).is_none()) {
        return;
    }
    if schema["oneOf"].is_array() {
        let mut fitting = list(&schema["oneOf"]).filter(|one| {
            let mut wrong = Vec::new();
            differences(one, value, at, &mut wrong);
            wrong.is_empty()
        });
        if fitting.next().is_none() {
            wrong.push(format!("{at} is none of what it may be"));
        }
        return;
    }
    if !is_of_type(&schema["type"], value) {
        wrong.push(format!("{at} is not of type {}", schema["type"]));
    }
    match value {
        Value::Object(fields) => {
            for name in required(schema).into_iter().filter(|name| !fields.contains_key(*name)) {
                wrong.push(format!("{at}.{name} is missing"));
            }
            for (name, field) in fields {
                let at = format!("{at}.{name}");
                match field_of(schema, name) {
                    Some(described) => differences(described, field, &at, wrong),
                    None => wrong.push(format!("{at} is not described")),
                }
            }
        }
        Value::Array(items) => {
            let first: Vec<_> = list(&schema["prefixItems"]).collect();
            for (index, item) in items.iter().enumerate() {
                let at = format!("{at}[{index}]");
                match first.get(index).copied().or(Some(&schema["items"]).filter(|items| items.is_object())) {
                    Some(described) => differences(described, item, &at, wrong),
                    None => wrong.push(format!("{at} is one too many")),
                }
            }
        }
        _ => {}
    }
}

fn is_of_type(described: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    match described {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

/// The fields that an object must have, those of all its parts together.
fn required(schema: &'static Value) -> Vec<&'static str> {
    let schema = resolved(schema);
    let own = list(&schema["required"]).filter_map(Value::as_str);
    own.chain(list(&schema["allOf"]).flat_map(required)).collect()
}

/// What an object's field must be.
fn field_of(schema: &'static Value, name: &str) -> Option<&'static Value> {
    let schema = resolved(schema);
    let own = schema["properties"].get(name);
    let own = own.or_else(|| list(&schema["allOf"]).find_map(|part| field_of(part, name)));
    own.or_else(|| schema.get("additionalProperties").filter(|any| any.is_object()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong_with(body: &Value) -> Vec<String> {
        let operation = operation("GET", "/webhooks/deliveries/square").expect("it is described");
        let mut wrong = Vec::new();
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        differences(schema, body, "$", &mut wrong);
        wrong
    }

    #[test]
    fn what_is_missing_of_another_type_or_not_described_is_found_where_it_is() {
        let pending = json!({"count": 0, "in_flight": 0, "oldest_age_seconds": null, "dead_letters": 0});
        assert_eq!(wrong_with(&json!({"deliveries": [], "pending": pending})), [""; 0]);
        let wrong = wrong_with(&json!({"deliveries": [{"id": 7}], "pending": pending, "more": true}));
        for expected in [
            "$.deliveries[0].id is not of type \"string\"",
            "$.deliveries[0].provider is missing",
            "$.more is not described",
        ] {
            assert!(wrong.iter().any(|found| found == expected), "{expected}: {wrong:?}");
        }
    }

    #[test]
    fn a_path_is_described_by_the_template_that_says_most_of_it() {
        let of = |path| operation("GET", path).map(|operation| operation["operationId"].clone());
        assert_eq!(of("/webhooks/health"), Some(json!("health")));
        assert_eq!(of("/records/payments/square/p1"), Some(json!("record")));
        assert_eq!(of("/nothing"), None);
    }
}
