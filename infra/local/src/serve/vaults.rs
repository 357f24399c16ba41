//! The vaults of one machine. Their rings are in the secrets file, else in the data folder, where they are made at the first
//! start. Once something was sealed, nothing starts without the ring that sealed it: what it sealed could not be opened,
//! and webhooks would be refused.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tillwatch_platform::connections::Connections;
use tillwatch_platform::secrets::Secrets;
use tillwatch_platform::vault::Vault;

use super::Failure;
use super::secrets::{KEPT_RINGS, LocalSecrets, RINGS, make_rings};

/// What is sealed to know a ring again.
const TRIAL: &str = "tillwatch";

/// Opens both vaults: the one of webhook secrets, and the one of tokens.
pub(super) async fn open(
    secrets: &Arc<LocalSecrets>,
    connections: &Connections,
    data: &Path,
    now: Timestamp,
) -> Result<[Arc<Vault>; 2], Failure> {
    let trials = connections.sealed_trials().await?;
    let sealed = |ring: &str| trials.iter().find(|(name, _)| name == ring).map(|(_, sealed)| sealed);
    let mut missing = Vec::new();
    for ring in RINGS {
        if secrets.read(ring).await?.is_none() {
            if sealed(ring).is_some() {
                return Err(lost(ring, "is missing").into());
            }
            missing.push(ring);
        }
    }
    if !missing.is_empty() {
        make_rings(data, &missing)?;
    }
    let mut vaults = Vec::new();
    for ring in RINGS {
        let store: Arc<dyn Secrets> = Arc::clone(secrets) as Arc<dyn Secrets>;
        let vault = Vault::open(store, ring.to_owned(), now).await?;
        let known = sealed(ring);
        // It says nothing but that the ring is the one.
        if known.is_some_and(|sealed| vault.ring().open(ring, sealed).is_err()) {
            return Err(lost(ring, "is another than the one that sealed what is kept here").into());
        }
        // By the newest key, so that an older one may go.
        if known.is_none_or(|sealed| !vault.ring().is_current(sealed)) {
            let trial = vault.ring().seal(ring, &TRIAL.to_owned().into());
            connections.put_sealed_trial(ring, &trial).await?;
        }
        vaults.push(Arc::new(vault));
    }
    <[Arc<Vault>; 2]>::try_from(vaults).map_err(|_| "there are two vaults".into())
}

fn lost(ring: &str, how: &str) -> String {
    format!(
        "the vault's key ring `{ring}` {how}: connections' secrets could not be opened. Put it back into the secrets \
         file, or {KEPT_RINGS} into the data folder"
    )
}
