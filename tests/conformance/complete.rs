//! What stands beside a provider's folder, so that one that is added is tried like the others.

use std::path::Path;

use tillwatch_providers::ALL;

const GUIDE: &str = "docs/adding-a-provider.md says what goes into it";

#[test]
fn every_provider_has_fuzz_targets_fixtures_a_function_and_a_sample_event() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let fuzzed = std::fs::read_to_string(root.join("tests/fuzz/Cargo.toml")).expect("the fuzz targets");
    for provider in ALL {
        let name = provider.name();
        for what in ["parse", "signature"] {
            let target = format!("tests/fuzz/targets/{name}_{what}.rs");
            assert!(root.join(&target).exists(), "{target} is missing; {GUIDE}");
            let built = fuzzed.contains(&format!("\"{name}_{what}\""));
            assert!(built, "{name}_{what} is no [[bin]] of tests/fuzz/Cargo.toml; {GUIDE}");
        }
        let fixtures = root.join("tests/fixtures").join(name).read_dir();
        assert!(
            fixtures.is_ok_and(|mut files| files.next().is_some()),
            "tests/fixtures/{name} is missing; {GUIDE}"
        );
        for file in [format!("functions/src/bin/webhook-{name}.rs"), format!("events/webhook-{name}.json")] {
            assert!(root.join(&file).exists(), "{file} is missing; {GUIDE}");
        }
    }
}
