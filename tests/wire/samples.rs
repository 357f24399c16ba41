//! The sample events of `events/`, as they are: what `sam local invoke` shows whoever tries a function.

use serde_json::{Value, json};

use super::deployment::{Deployment, event};

/// What the template calls a provider's webhook function.
fn function_of(provider: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    provider.split('_').map(word).fold("Webhook".to_owned(), |name, part| name + &part)
}

fn body(answer: &Value) -> Value {
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn every_function_answers_its_sample_event() {
    let deployment = Deployment::ready().await;
    for provider in tillwatch_providers::ALL.iter().map(|provider| provider.name()) {
        deployment.put_secret(provider).await;
        let binary = format!("webhook-{provider}");
        let answer =
            deployment.answer(&function_of(provider), &binary, &event(&format!("{binary}.json"))).await;
        assert_eq!(answer["statusCode"], 200, "{binary}: {answer}");
    }
    let answer = deployment.answer("Processor", "processor", &event("processor.json")).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let answer = deployment.answer("Rollup", "rollup", &event("rollup.json")).await;
    assert_eq!(answer, json!({"state": {}}));
    let answer = deployment.answer("Scheduler", "scheduler", &event("scheduler.json")).await;
    assert_eq!(answer, json!({"due": 0, "refreshes": 0, "reconciliations": 0, "missed": 0}));
    let answer = deployment.answer("Tally", "tally", &event("tally.json")).await;
    // The samples are of a day that is past, and may be listed no more.
    assert_eq!((&answer["silent"], &answer["more"]), (&json!(0), &json!(false)), "{answer}");
    let answer = deployment.answer("Checks", "checks", &event("checks.json")).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let answer = deployment.answer("Refreshes", "refreshes", &event("refreshes.json")).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let answer =
        deployment.answer("Reconciliations", "reconciliations", &event("reconciliations.json")).await;
    assert_eq!(answer, json!({"batchItemFailures": []}));
    let answer = deployment.answer("Console", "console", &event("console.json")).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let names: Vec<_> = body(&answer)["providers"].as_object().unwrap().keys().cloned().collect();
    for provider in tillwatch_providers::ALL {
        assert!(names.contains(&provider.name().to_owned()), "{names:?}");
    }
}

#[test]
fn every_function_has_a_sample_event_and_every_sample_a_function() {
    let listed = |folder: &str, ending: &str| -> Vec<String> {
        let folder = super::emulators::root().join(folder);
        let names = folder.read_dir().unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.map(|name| name.trim_end_matches(ending).to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(listed("events", ".json"), listed("functions/src/bin", ".rs"));
}
