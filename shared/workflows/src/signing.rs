//! The providers' settings, cached: read at most once a minute, and once more when a signature does not match, so that
//! a secret changed at its source works at once.
//!
//! That second reading must not be an attacker's to spend. What was read within the last second is fresh enough for
//! everyone; within that second each source may have one more reading every ten seconds, and all sources together have
//! a few. So noise costs at most a handful of readings a second, and can't keep a real rotation from being seen.
//!
//! A reading that fails is not repeated for a while either: with a store that is down each request would wait for it, and
//! with a secret that makes no sense each would cost a call.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::ExposeSecret;
use tillwatch_platform::secrets::{Secrets, SecretsError, Stamp};
use tillwatch_providers::{Fingerprints, Settings};
use tokio::sync::Mutex;

/// How long settings are used without being read again.
const KEPT: Duration = Duration::from_mins(1);
/// How long a reading is fresh enough to settle a verdict.
const FRESH: Duration = Duration::from_secs(1);
/// How often one source may cause a reading within that time.
const PER_SOURCE: Duration = Duration::from_secs(10);
/// How many such readings there may be, all sources together, until the next ordinary one.
const EXTRA: usize = 4;
/// How long a store that could not be read is left alone.
const DOWN: Duration = Duration::from_secs(5);
/// How long it is believed that a secret makes no sense.
const ABSENT: Duration = Duration::from_secs(1);
/// How many sources are remembered.
const SOURCES: usize = 1024;

/// Why there are no settings to verify with. Ours: the sender is asked to come again.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NoSettings {
    /// The store could not be read, and nothing was read before.
    #[error(transparent)]
    Store(#[from] SecretsError),
    /// What is stored is not a JSON object of settings.
    #[error("the secret stored for {0} is not a JSON object of settings")]
    Malformed(String),
}

impl NoSettings {
    /// How long it is believed.
    fn kept(&self) -> Duration {
        match self {
            Self::Store(_) => DOWN,
            Self::Malformed(_) => ABSENT,
        }
    }
}

/// One provider's settings from the store.
pub struct SettingsCache {
    secrets: Arc<dyn Secrets>,
    secret: String,
    fingerprints: Fingerprints,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    read: Option<(Arc<Settings>, Timestamp)>,
    /// The store's state at the last reading, where it tells.
    stamp: Option<Stamp>,
    /// The last reading, if it failed.
    failed: Option<(NoSettings, Timestamp)>,
    extra: usize,
    sources: HashMap<String, Timestamp>,
}

fn within(moment: Timestamp, now: Timestamp, span: Duration) -> bool {
    now.duration_since(moment).unsigned_abs() < span
}

impl SettingsCache {
    /// A cache over the secret of this name.
    pub fn new(secrets: Arc<dyn Secrets>, secret: String) -> Self {
        Self { secrets, secret, fingerprints: Fingerprints::default(), state: Mutex::default() }
    }

    /// The same, whose settings know open secrets by these fingerprints.
    #[must_use]
    pub fn with_fingerprints(self, fingerprints: Fingerprints) -> Self {
        Self { fingerprints, ..self }
    }

    /// The settings, at most a minute old. When the store can't be read, older ones are better than none.
    pub async fn current(&self, now: Timestamp) -> Result<Arc<Settings>, NoSettings> {
        let mut state = self.state.lock().await;
        let old = state.read.clone();
        if let Some((settings, at)) = &old
            && within(*at, now, KEPT)
        {
            return Ok(Arc::clone(settings));
        }
        match (self.read(&mut state, now).await, old) {
            (Err(NoSettings::Store(error)), Some((settings, _))) => {
                tracing::warn!(%error, "going on with the settings read before");
                Ok(settings)
            }
            (result, _) => result,
        }
    }

    /// The settings as they are now, at most a second old: what releases requests that were rejected must not judge by
    /// older ones.
    pub async fn fresh(&self, now: Timestamp) -> Result<Arc<Settings>, NoSettings> {
        let mut state = self.state.lock().await;
        let changed = self.secrets.stamp().is_some_and(|stamp| state.stamp != Some(stamp));
        if let Some((settings, at)) = &state.read
            && within(*at, now, FRESH)
            && !changed
        {
            return Ok(Arc::clone(settings));
        }
        self.read(&mut state, now).await
    }

    /// The settings read anew after they failed to verify a request from `source`; none, if that would be one reading
    /// too many. An error, if they could not be read: who can't look whether the key was changed must not judge.
    pub async fn after_failure(
        &self,
        source: &str,
        failed: &Arc<Settings>,
        now: Timestamp,
    ) -> Result<Option<Arc<Settings>>, NoSettings> {
        let mut state = self.state.lock().await;
        if let Some((settings, at)) = state.read.clone() {
            if !Arc::ptr_eq(&settings, failed) {
                return Ok(Some(settings));
            }
            // A store that tells of its changes may be read after each of them, whoever is asking.
            let changed = self.secrets.stamp().is_some_and(|stamp| state.stamp != Some(stamp));
            if within(at, now, FRESH) && !changed && !state.may_read_again(source, now) {
                return Ok(None);
            }
        }
        self.read(&mut state, now).await.map(Some)
    }

    async fn read(&self, state: &mut State, now: Timestamp) -> Result<Arc<Settings>, NoSettings> {
        let stamp = self.secrets.stamp();
        if let Some((error, at)) = &state.failed
            && within(*at, now, error.kept())
            && (stamp.is_none() || stamp == state.stamp)
        {
            return Err(error.clone());
        }
        state.stamp = stamp;
        match self.read_now().await {
            Ok(settings) => {
                if state.read.as_ref().is_none_or(|(_, at)| !within(*at, now, FRESH)) {
                    state.extra = 0;
                }
                state.read = Some((Arc::clone(&settings), now));
                state.failed = None;
                Ok(settings)
            }
            Err(error) => {
                state.failed = Some((error.clone(), now));
                Err(error)
            }
        }
    }

    async fn read_now(&self) -> Result<Arc<Settings>, NoSettings> {
        // Without the provider's secret there may be connections that have their own.
        let settings = match self.secrets.read(&self.secret).await? {
            None => Settings::default(),
            Some(secret) => serde_json::from_str(secret.expose_secret())
                .map_err(|_| NoSettings::Malformed(self.secret.clone()))?,
        };
        Ok(Arc::new(Settings { fingerprints: self.fingerprints.clone(), ..settings }))
    }
}

impl State {
    fn may_read_again(&mut self, source: &str, now: Timestamp) -> bool {
        self.sources.retain(|_, at| within(*at, now, PER_SOURCE));
        if self.extra >= EXTRA || self.sources.len() >= SOURCES || self.sources.contains_key(source) {
            return false;
        }
        self.extra += 1;
        self.sources.insert(source.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use secrecy::SecretString;

    use super::*;

    #[derive(Default)]
    struct Store {
        readings: AtomicUsize,
        attempts: AtomicUsize,
        down: std::sync::atomic::AtomicBool,
    }

    #[async_trait]
    impl Secrets for Store {
        async fn read(&self, _: &str) -> Result<Option<SecretString>, SecretsError> {
            self.attempts.fetch_add(1, Ordering::SeqCst);
            if self.down.load(Ordering::SeqCst) {
                return Err(SecretsError { cause: "down".into() });
            }
            self.readings.fetch_add(1, Ordering::SeqCst);
            Ok(Some(r#"{"signing_keys":["k"]}"#.to_owned().into()))
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_795_474_980_000 + millis).unwrap()
    }

    #[tokio::test]
    async fn settings_are_read_once_a_minute() {
        let store = Arc::new(Store::default());
        let cache = SettingsCache::new(store.clone(), "square".into());
        for millis in [0, 30_000, 59_999, 60_000, 119_999] {
            cache.current(at(millis)).await.unwrap();
        }
        assert_eq!(store.readings.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn old_settings_outlive_a_store_that_is_down_and_none_are_an_error() {
        let store = Arc::new(Store::default());
        let cache = SettingsCache::new(store.clone(), "square".into());
        cache.current(at(0)).await.unwrap();
        store.down.store(true, Ordering::SeqCst);
        assert!(cache.current(at(600_000)).await.is_ok());
        let empty = SettingsCache::new(store, "square".into());
        assert!(matches!(empty.current(at(0)).await, Err(NoSettings::Store(_))));
    }

    #[tokio::test]
    async fn a_store_that_is_down_is_left_alone_and_nobody_is_judged_by_old_settings() {
        let store = Arc::new(Store::default());
        let cache = SettingsCache::new(store.clone(), "square".into());
        let old = cache.current(at(0)).await.unwrap();
        store.down.store(true, Ordering::SeqCst);
        for millis in 0..4_000 {
            assert!(cache.current(at(120_000 + millis)).await.is_ok());
            assert!(cache.after_failure("s", &old, at(120_000 + millis)).await.is_err());
        }
        assert_eq!(store.attempts.load(Ordering::SeqCst), 2);
        store.down.store(false, Ordering::SeqCst);
        assert!(cache.after_failure("s", &old, at(125_000)).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn noise_from_many_sources_costs_few_readings_and_never_the_next_one() {
        let store = Arc::new(Store::default());
        let cache = SettingsCache::new(store.clone(), "square".into());
        for number in 0..10_000 {
            let now = at(number / 10);
            let settings = cache.current(now).await.unwrap();
            let _ = cache.after_failure(&format!("source {number}"), &settings, now).await;
        }
        assert!(store.readings.load(Ordering::SeqCst) <= 1 + EXTRA, "{:?}", store.readings);
        let now = at(2_100);
        let settings = cache.current(now).await.unwrap();
        assert!(cache.after_failure("the provider", &settings, now).await.unwrap().is_some());
    }
}
