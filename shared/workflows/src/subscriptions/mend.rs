//! One target's subscriptions: what there is, what is wrong with it, and the steps that mend it, each kept as it is done.

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tillwatch_platform::connections::Kind;
use tillwatch_platform::outbound::OutboundError;
use tillwatch_platform::secrets::SecretsError;
use tillwatch_platform::table::{TableError, Written};
use tillwatch_platform::{entropy, vault::VaultError};
use tillwatch_providers::Key;
use tillwatch_providers::subscriptions::{
    Condition, Found, Item, Kept, Made, Refused, Scope, Step, Wanted, assess, plan, without_secret,
};
use tokio::time::Instant;

use super::document::{Noticed, Standing, Subscribed, SubscriptionView, TestView};
use super::target::{Known, Target};
use super::{Keeper, Mode};
use crate::configuration::Unconfigured;

/// The most pages of a list that are read.
const MOST_PAGES: usize = 20;

/// Why a target can't be looked after, or not now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The provider, or a setting.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The way there.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// What Tillwatch stands on, or what it keeps.
    #[error("{0}")]
    Ours(String),
    /// The table, which all stand on.
    #[error(transparent)]
    Table(#[from] TableError),
}

impl From<Unconfigured> for Trouble {
    fn from(error: Unconfigured) -> Self {
        match error {
            Unconfigured::Table(error) => Self::Table(error),
            Unconfigured::Vault(error) => Self::Ours(format!("its secrets can't be opened: {error}")),
            other => Self::Ours(other.to_string()),
        }
    }
}

impl From<SecretsError> for Trouble {
    fn from(error: SecretsError) -> Self {
        Self::Ours(error.to_string())
    }
}

impl From<VaultError> for Trouble {
    fn from(error: VaultError) -> Self {
        Self::Ours(error.to_string())
    }
}

/// One look at one target.
pub(super) struct Look<'a> {
    pub(super) keeper: &'a Keeper,
    pub(super) target: &'a Target,
    pub(super) public_url: &'a str,
    pub(super) mends: bool,
    pub(super) until: Instant,
    pub(super) now: Timestamp,
    pub(super) document: Subscribed,
    pub(super) revision: Option<i64>,
}

impl Keeper {
    /// Looks after one target. An error is the table's alone: whatever else goes wrong is the target's own.
    pub(super) async fn tend(
        &self,
        target: &Target,
        mode: Mode,
        public_url: Option<&str>,
        until: Instant,
    ) -> Result<SubscriptionView, TableError> {
        let now = self.clock.now();
        let stored =
            self.configuration.connections.document::<Subscribed>(Kind::Subscription, &target.id).await?;
        let (document, revision) =
            stored.map_or_else(Default::default, |stored| (stored.document, Some(stored.revision)));
        let id = target.id.clone();
        let document = Subscribed { id, provider: target.provider.name().to_owned(), ..document };
        let was_kept = revision.is_some();
        if mode == Mode::Kept || (!was_kept && matches!(mode, Mode::Repair | Mode::Schedule)) {
            return Ok((&document).into());
        }
        let mut look = Look {
            keeper: self,
            target,
            public_url: public_url.unwrap_or_default(),
            mends: matches!(mode, Mode::Ensure | Mode::Repair | Mode::Schedule),
            until,
            now,
            document,
            revision,
        };
        let result = look.run(mode, was_kept).await;
        let test = match result {
            Ok(test) => test,
            Err(Trouble::Table(error)) => return Err(error),
            Err(trouble) => {
                look.failed(&trouble);
                None
            }
        };
        let Look { mut document, revision, .. } = look;
        self.measure(target.provider.name(), document.status, now);
        // A look at what was never subscribed to leaves nothing behind.
        let is_worth_keeping = was_kept || revision.is_some() || mode == Mode::Ensure;
        if is_worth_keeping {
            document.checked_at = Some(now);
            self.keep(target, &document, revision).await?;
        }
        let mut view = SubscriptionView::from(&document);
        if !is_worth_keeping {
            view.checked_at = Some(now);
        }
        view.test = test;
        Ok(view)
    }

    /// Writes the document; whoever wrote it in between has looked as well, and is as right.
    async fn keep(
        &self,
        target: &Target,
        document: &Subscribed,
        over: Option<i64>,
    ) -> Result<Option<i64>, TableError> {
        let kind = Kind::Subscription;
        let provider = target.provider.name();
        let written =
            self.configuration.connections.put_document(kind, &target.id, provider, document, over).await?;
        Ok((written == Written::Yes).then_some(over.unwrap_or(0) + 1))
    }
}

impl Look<'_> {
    async fn run(&mut self, mode: Mode, was_kept: bool) -> Result<Option<TestView>, Trouble> {
        if let Some(until) = self.document.not_before.filter(|until| self.now < *until) {
            let wait = until.duration_since(self.now).unsigned_abs();
            return Err(Refused::Limited(wait).into());
        }
        let secure = self.public_url.starts_with("https://")
            || (self.keeper.allow_plain && self.public_url.starts_with("http://"));
        if !secure {
            let problem = "the address at which providers reach this API is not known, or is not https: set \
                           TILLWATCH_PUBLIC_URL to it";
            return Err(Trouble::Ours(problem.to_owned()));
        }
        let mut known = self.keeper.known(self.target).await?;
        if mode == Mode::Schedule {
            let words = if self.target.scope == Scope::Own { &known.own } else { &known.shared };
            self.mends = words.get("auto_repair_subscriptions") != Some("false");
        }
        if self.mends && self.make_url_key(&known).await? {
            known = self.keeper.known(self.target).await?;
        }
        let (target, public_url, now) = (self.target, self.public_url, self.now);
        let wanted = known.wanted(target, public_url, now);
        if self.mends {
            self.retire(&wanted).await?;
        }
        let items = target.subscriptions.items(&wanted)?;
        let all = self.list(&wanted).await?;
        let (mut status, mut problem) = (Standing::Ok, None);
        let (mut left, mut tested) = (Vec::new(), Vec::new());
        for item in &items {
            let (condition, found) = self.assessed(&wanted, &known, item, &all);
            let standing = self.settle(&wanted, &known, item, (condition, found), was_kept).await;
            let standing = match standing {
                Ok(standing) => standing,
                // What was done for those before it stays done.
                Err(trouble @ (Trouble::Table(_) | Trouble::Refused(Refused::Limited(_)))) => {
                    return Err(trouble);
                }
                Err(trouble) => {
                    self.failed(&trouble);
                    problem = problem.or_else(|| self.document.problem.clone());
                    Standing::Failed
                }
            };
            if let Some(what) = wrong(standing, condition) {
                left.push(format!("{} {what}", item.key));
            }
            status = status.worse(standing);
            if let (Mode::Test, Some(found)) = (mode, found) {
                tested.push(self.tested(&wanted, item, found, condition).await);
            }
        }
        // What is no longer wanted is no longer kept; nobody else's decision is undone.
        self.document.items.retain(|kept| items.iter().any(|item| item.key == kept.key));
        self.hand_out(&known).await?;
        self.document.not_before = None;
        self.document.status = status;
        let advice = "`tillwatch subscriptions ensure` makes or mends it";
        let left = (!left.is_empty()).then(|| format!("{}: {advice}", left.join("; ")));
        self.document.problem = problem.or(left);
        if mode != Mode::Test {
            return Ok(None);
        }
        Ok(Some(if tested.is_empty() {
            TestView { passed: false, detail: "there is no subscription to test".to_owned() }
        } else {
            let details: Vec<_> = tested.iter().map(|test| test.detail.as_str()).collect();
            TestView { passed: tested.iter().all(|test| test.passed), detail: details.join("; ") }
        }))
    }

    /// Says that it failed, in the log and in the document.
    fn failed(&mut self, trouble: &Trouble) {
        if let Trouble::Refused(Refused::Limited(wait)) = trouble
            && self.document.not_before.is_none_or(|until| until <= self.now)
        {
            let wait = jiff::SignedDuration::try_from(*wait).unwrap_or(jiff::SignedDuration::from_hours(1));
            self.document.not_before = self.now.checked_add(wait).ok();
        }
        let problem = format!("{}: {trouble}", self.target.called());
        let provider = self.target.provider.name();
        tracing::error!(
            provider,
            id = self.target.id,
            problem,
            "webhook subscriptions can't be looked after"
        );
        self.document.status = Standing::Failed;
        self.document.problem = Some(problem);
    }

    /// Ends those that others have taken the place of.
    async fn retire(&mut self, wanted: &Wanted<'_>) -> Result<(), Trouble> {
        let mut left = Vec::new();
        for kept in std::mem::take(&mut self.document.retiring) {
            if kept.expires_at.is_some_and(|ends| ends <= self.now) {
                continue;
            }
            match self.end(wanted, &kept).await {
                Ok(()) => {}
                Err(trouble) => {
                    let (provider, id) = (self.target.provider.name(), &self.target.id);
                    tracing::warn!(provider, id, %trouble, "an old subscription could not be ended yet");
                    left.push(kept);
                }
            }
        }
        self.document.retiring = left;
        Ok(())
    }

    async fn end(&self, wanted: &Wanted<'_>, kept: &Kept) -> Result<(), Trouble> {
        let Some(call) = self.target.subscriptions.delete(wanted, kept)? else { return Ok(()) };
        let response = self.keeper.ask(self.target.provider.name(), &call).await?;
        let item = Item { key: kept.key.clone(), events: Vec::new(), url: kept.url.clone() };
        match response.status {
            // It is gone, and so it should be.
            404 | 410 => Ok(()),
            _ => Ok(self.target.subscriptions.updated(&item, &response)?),
        }
    }

    /// What there is.
    async fn list(&self, wanted: &Wanted<'_>) -> Result<Vec<Found>, Trouble> {
        let (target, provider) = (self.target, self.target.provider.name());
        let calls = target.subscriptions.lists(wanted)?;
        if calls.is_empty() {
            return Ok(self.document.items.iter().map(|kept| from_kept(kept, self.now)).collect());
        }
        let mut all = Vec::new();
        for (nth, call) in calls.into_iter().enumerate() {
            let mut next = Some(call);
            for _ in 0..MOST_PAGES {
                let Some(call) = next else { break };
                let response = self.keeper.ask(provider, &call).await?;
                let (found, more) = target.subscriptions.listed(wanted, nth, &response)?;
                all.extend(found);
                next = more;
            }
        }
        Ok(all)
    }

    fn kept(&self, key: &str) -> Option<&Kept> {
        self.document.items.iter().find(|kept| kept.key == key)
    }

    fn assessed<'a>(
        &self,
        wanted: &Wanted<'_>,
        known: &Known,
        item: &Item,
        all: &'a [Found],
    ) -> (Condition, Option<&'a Found>) {
        let subscriptions = self.target.subscriptions;
        let kept = self.kept(&item.key);
        let has_key = known.webhook.live_keys(self.now).is_ok();
        let knows_key = |found: &Found| {
            !subscriptions.has_secret()
                || kept.is_some_and(|kept| kept.id == found.id && kept.sealed.is_some())
                || found.secret.is_some()
                || matches!(subscriptions.secret(wanted, found), Ok(Some(_)))
                // Whoever made it has put its key into the configuration, one must hope.
                || (!found.marked && has_key)
        };
        assess(item, all, kept, subscriptions.renewed_before(), knows_key, self.now)
    }

    /// Does what is to be done about an item, and keeps what it came to.
    async fn settle(
        &mut self,
        wanted: &Wanted<'_>,
        known: &Known,
        item: &Item,
        (condition, found): (Condition, Option<&Found>),
        was_kept: bool,
    ) -> Result<Standing, Trouble> {
        let step = plan(condition, found);
        if condition != Condition::Sound && was_kept && condition != Condition::Expiring {
            self.notice(item, condition);
        }
        if let Step::Stuck = step {
            return Err(Refused::UnknownKey.into());
        }
        if !self.mends {
            return Ok(Standing::of(condition));
        }
        if Instant::now() >= self.until && !matches!(step, Step::Nothing) {
            return Err(Trouble::Ours("time ran out before it was mended: ask again".to_owned()));
        }
        let mended = if was_kept { Standing::Repaired } else { Standing::Created };
        match step {
            Step::Nothing => {
                if let Some(found) = found {
                    self.adopt(wanted, item, found).await?;
                }
                return Ok(Standing::Ok);
            }
            Step::Stuck => return Err(Refused::UnknownKey.into()),
            Step::Create => self.create(wanted, known, item, None).await?,
            Step::Replace(found) => self.create(wanted, known, item, Some(&found)).await?,
            Step::Update(found) => match self.target.subscriptions.update(wanted, item, &found)? {
                None => self.create(wanted, known, item, Some(&found)).await?,
                Some(call) => {
                    let response = self.keeper.ask(self.target.provider.name(), &call).await?;
                    self.target.subscriptions.updated(item, &response)?;
                    let events = tillwatch_providers::subscriptions::union(&found.events, &item.events);
                    let found = Found { url: item.url.clone(), events, active: true, ..found };
                    self.adopt(wanted, item, &found).await?;
                }
            },
        }
        if let Some(noticed) = self.document.noticed.as_mut().filter(|_| was_kept) {
            noticed.repaired = true;
        }
        Ok(mended)
    }

    /// Says what was found wrong, in the log and in the document.
    fn notice(&mut self, item: &Item, condition: Condition) {
        let what = format!("{} {}", item.key, words(condition));
        let (provider, id) = (self.target.provider.name(), self.target.id.as_str());
        tracing::error!(provider, id, what, "a webhook subscription is not as it should be");
        self.document.noticed = Some(Noticed { at: self.now, what, repaired: false });
    }

    /// Keeps one that there is, with its key, if it has one that can be had.
    async fn adopt(&mut self, wanted: &Wanted<'_>, item: &Item, found: &Found) -> Result<(), Trouble> {
        let before = self.kept(&item.key).filter(|kept| kept.id == found.id).cloned();
        let mut secret = found.secret.clone();
        let has_one = before.as_ref().is_some_and(|kept| kept.sealed.is_some());
        if self.target.subscriptions.has_secret()
            && secret.is_none()
            && !has_one
            && let Some(call) = self.target.subscriptions.secret(wanted, found)?
        {
            let response = self.keeper.ask(self.target.provider.name(), &call).await?;
            secret = Some(self.target.subscriptions.told(&response)?);
        }
        let (sealed, name) = match (&secret, before) {
            // What is sealed anew each time would be written anew each time.
            (Some(secret), Some(kept)) if kept.secret == Some(Key::new(secret.expose_secret()).id()) => {
                (kept.sealed, kept.secret)
            }
            (Some(secret), _) => self.sealed(secret).await?,
            (None, Some(kept)) => (kept.sealed, kept.secret),
            (None, None) => (None, None),
        };
        self.put(Kept {
            key: item.key.clone(),
            id: found.id.clone(),
            resource: found.resource.clone(),
            url: without_secret(&found.url).to_owned(),
            events: found.events.clone(),
            expires_at: found.expires_at,
            sealed,
            secret: name,
        });
        Ok(())
    }

    async fn sealed(&self, secret: &SecretString) -> Result<(Option<String>, Option<String>), Trouble> {
        let ring = self.keeper.configuration.webhook_vault.fresh_ring(self.now).await?;
        let sealed = ring.seal(&sealed_for(&self.target.id), secret);
        Ok((Some(sealed), Some(Key::new(secret.expose_secret()).id())))
    }

    fn put(&mut self, kept: Kept) {
        match self.document.items.iter_mut().find(|known| known.key == kept.key) {
            Some(known) => *known = kept,
            None => self.document.items.push(kept),
        }
    }

    /// Makes one, keeps it at once, and then ends the one whose place it takes.
    async fn create(
        &mut self,
        wanted: &Wanted<'_>,
        known: &Known,
        item: &Item,
        instead_of: Option<&Found>,
    ) -> Result<(), Trouble> {
        let subscriptions = self.target.subscriptions;
        let before = self.kept(&item.key).cloned();
        let fresh = subscriptions.fresh(entropy::bytes(), self.now);
        let call = subscriptions.create(wanted, item, &fresh)?;
        let is_listed = !subscriptions.lists(wanted)?.is_empty();
        if !is_listed {
            self.document.pending.push(fresh.id.clone());
            self.save().await?;
        }
        if let Some(connection) = self.target.connection().filter(|_| self.target.provider.renews_accounts())
        {
            let former = before.as_ref().map(|kept| kept.id.clone());
            let former = former.or_else(|| connection.accounts.first().cloned());
            let accounts: Vec<_> = std::iter::once(fresh.id.clone()).chain(former).collect();
            self.keeper.renew_accounts(connection, &accounts).await?;
        }
        let response = self.keeper.ask(self.target.provider.name(), &call).await?;
        let made = subscriptions.created(wanted, item, &fresh, &response)?;
        let Made { id, resource, secret, expires_at } = made;
        let (sealed, name) = match &secret {
            Some(secret) => self.sealed(secret).await?,
            None => (None, None),
        };
        // Whatever was begun before and may be there watches the same thing.
        let orphans =
            std::mem::take(&mut self.document.pending).into_iter().filter(|pending| *pending != fresh.id);
        let orphans = orphans.map(|id| Kept { id, resource: resource.clone(), ..former(item) });
        self.document.retiring.extend(orphans);
        if let Some(old) = instead_of {
            self.document.retiring.push(Kept {
                id: old.id.clone(),
                resource: old.resource.clone(),
                expires_at: old.expires_at,
                ..former(item)
            });
        }
        let (key, events) = (item.key.clone(), item.events.clone());
        let url = without_secret(&item.url).to_owned();
        self.put(Kept { key, id, resource, url, events, expires_at, sealed, secret: name });
        self.save().await?;
        if let Some(secret) = secret {
            let replaced = before.and_then(|kept| kept.secret);
            self.hand_out_one(known, &secret, replaced.as_deref()).await?;
        }
        self.retire(wanted).await
    }

    /// Writes what is known so far.
    async fn save(&mut self) -> Result<(), Trouble> {
        let written = self.keeper.keep(self.target, &self.document, self.revision).await?;
        let conflict = "somebody else looks after the same subscriptions at this moment: ask again";
        self.revision = Some(written.ok_or_else(|| Trouble::Ours(conflict.to_owned()))?);
        Ok(())
    }
}

/// What a key of a target's subscription is sealed for.
pub(super) fn sealed_for(target: &str) -> String {
    format!("subscription {target}")
}

/// One that is to be ended.
fn former(item: &Item) -> Kept {
    Kept { key: item.key.clone(), url: without_secret(&item.url).to_owned(), ..Kept::default() }
}

/// One that nobody lists, as far as it is known.
fn from_kept(kept: &Kept, now: Timestamp) -> Found {
    Found {
        key: Some(kept.key.clone()),
        id: kept.id.clone(),
        resource: kept.resource.clone(),
        url: kept.url.clone(),
        events: kept.events.clone(),
        active: kept.expires_at.is_none_or(|ends| now < ends),
        marked: true,
        secret: None,
        expires_at: kept.expires_at,
    }
}

pub(super) fn words(condition: Condition) -> &'static str {
    match condition {
        Condition::Sound => "is as it should be",
        Condition::Missing => "is not subscribed to: it was deleted, or never made",
        Condition::Disabled => "was disabled by the provider, or has ended",
        Condition::Changed => "sends to another URL, or brings less than is wanted",
        Condition::Expiring => "ends soon",
        Condition::KeyLost => "has a signing key that was lost before it was kept",
        Condition::KeyUnknown => "has a signing key that is not known here",
    }
}

/// What is still wrong.
fn wrong(standing: Standing, condition: Condition) -> Option<&'static str> {
    match standing {
        Standing::Missing | Standing::Disabled | Standing::Changed => Some(words(condition)),
        _ => None,
    }
}
