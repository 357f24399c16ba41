//! What stands beside a provider's folder, so that one that is added is tried like the others.

use std::path::Path;

use tillwatch_providers::ALL;

#[test]
fn every_provider_has_fuzz_targets_fixtures_a_function_and_a_sample_event() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let fuzzed = std::fs::read_to_string(root.join("tests/fuzz/Cargo.toml")).expect("the fuzz targets");
    for provider in ALL {
        let name = provider.name();
        for what in ["parse", "signature"] {
            let target = format!("tests/fuzz/targets/{name}_{what}.rs");
            assert!(root.join(&target).exists(), "{target} is there");
            assert!(fuzzed.contains(&format!("\"{name}_{what}\"")), "{name}_{what} is built");
        }
        let fixtures = root.join("tests/fixtures").join(name).read_dir();
        assert!(fixtures.is_ok_and(|mut files| files.next().is_some()), "{name} has fixtures");
        for file in [format!("functions/src/bin/webhook-{name}.rs"), format!("events/webhook-{name}.json")] {
            assert!(root.join(&file).exists(), "{file} is there");
        }
    }
}
