//! How all connections do at one moment, and what only all of them together tell: whose fault it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tillwatch_domain::blame::{self, Blame, Count, Evidence, Peers};
use tillwatch_domain::health::{Finding, Trouble, Verdict};
use tillwatch_domain::quota::Tracked;
use tillwatch_domain::score::{self, Facts};
use tillwatch_domain::span;
use tillwatch_platform::payloads::Payloads;
use tillwatch_platform::watched::Kept;
use tillwatch_providers::checks;
use tokio::sync::Mutex;

use super::beside::All;
use super::{Doing, Endpoint, Page, Roster, WatchError};
use crate::objects;
use crate::tally::{Sent, Silent, Standing};

/// How one connection does at that moment. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The connection.
    pub id: String,
    /// The provider's name.
    pub provider: String,
    /// The business that it belongs to.
    pub business: String,
    /// From when on its webhooks are this business's, if it was another's before: a whole hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned_ms: Option<i64>,
    /// The location, unless it is the whole business's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// When it was checked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_ms: Option<i64>,
    /// How long the last check's slowest answer took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u32>,
    /// What it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<Finding>,
    /// How many checks are remembered, and how many of these failed.
    pub checks: u32,
    /// How many of these failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failed: u32,
    /// What is wrong; none, if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// The provider's own word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What was asked when it went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Why nothing could be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Whose fault it is, and what speaks for it; none, where nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blame: Option<(Blame, blame::Reason)>,
    /// The incident of the provider's status page, where that speaks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Whether the provider refused our application when the token was to be refreshed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_application_refused: bool,
    /// 0 to 100; none of what is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// What takes from the score, the most first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<score::Reason>,
    /// What is left of the provider's limits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<Tracked>,
    /// When its token ends, as far as that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_ends_ms: Option<i64>,
    /// The scopes that its token lacks and our calls need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_scopes: Vec<String>,
    /// What was concluded of its webhooks and its token.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub sent: Sent,
}

fn is_nothing(sent: &Sent) -> bool {
    *sent == Sent::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How our own address for a provider's webhooks does. Times are Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRow {
    /// Its URL.
    pub url: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// When it was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_ms: Option<i64>,
    /// How long the last answer took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u32>,
    /// What is wrong; none, if nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// What is known beyond that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// When its certificate ends, as it was seen last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_ends_ms: Option<i64>,
    /// When the last synthetic webhook was sent that came to its end, and how long that took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<(i64, u32)>,
    /// Whether one can be made; none, while that was not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_synthetic: Option<bool>,
}

/// How all connections do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// When it was made, Unix milliseconds.
    pub at_ms: i64,
    /// The connections, the worst first, of these those that have been so for longest.
    pub rows: Vec<Row>,
    /// What the providers' status pages say, by provider: see [`Page::has_incident`].
    #[serde(default)]
    pub pages: BTreeMap<String, Page>,
    /// How our own addresses do, by the provider that they are for.
    #[serde(default)]
    pub endpoints: BTreeMap<String, EndpointRow>,
}

/// The survey that was made last.
#[derive(Default)]
pub struct Surveys {
    last: Mutex<Option<Arc<Survey>>>,
    /// Where it is kept for other processes; none, where there are none.
    kept: Option<Arc<dyn Payloads>>,
}

/// What was concluded so long ago says nothing of now.
const CONCLUDED: Duration = Duration::from_mins(20);

/// No more often is one made.
const OFTEN: Duration = Duration::from_secs(10);
/// The name under which it is kept.
const NAME: &str = "watch/survey";
/// How old one that others made may be. They make one a minute.
const OLDEST: Duration = Duration::from_mins(3);

impl Surveys {
    /// Kept for other processes too.
    pub fn kept_in(payloads: Arc<dyn Payloads>) -> Self {
        Self { last: Mutex::default(), kept: Some(payloads) }
    }

    /// The next who asks is given a new one.
    pub async fn forget(&self) {
        *self.last.lock().await = None;
    }
}

impl Survey {
    /// Judges all together.
    fn of(all: All, every: impl Fn(Option<&str>) -> Duration, standing: &Standing, now_ms: i64) -> Self {
        let All { connections, pages, endpoints } = all;
        let is_fresh = (0..span::millis(CONCLUDED)).contains(&(now_ms - standing.at_ms));
        let sent = |id: &str| standing.connections.get(id).filter(|_| is_fresh).cloned().unwrap_or_default();
        let row = |kept: &Kept<Doing>| row(kept, every(Some(&kept.provider)), sent(&kept.id), now_ms);
        let mut rows: Vec<Row> = connections.iter().map(row).collect();
        let known = Known::of(&rows, &pages, now_ms);
        let blames: Vec<_> = rows.iter().map(|row| known.blamed(row)).collect();
        for (row, blamed) in rows.iter_mut().zip(blames) {
            (row.blame, row.incident) = blamed;
        }
        rows.sort_by(|one, other| one.place().cmp(&other.place()));
        let endpoint = |(provider, (endpoint, due_ms))| {
            (provider, EndpointRow::of(endpoint, due_ms, every(None), now_ms))
        };
        let endpoints = endpoints.into_iter().map(endpoint).collect();
        Self { at_ms: now_ms, rows, pages, endpoints }
    }

    /// The providers of connections, each once.
    pub fn providers(&self) -> BTreeSet<&str> {
        self.rows.iter().map(|row| row.provider.as_str()).collect()
    }

    /// How one does that was read since, judged by what was known of the others.
    pub fn with(&self, kept: &Kept<Doing>, every: Duration, now_ms: i64) -> Row {
        let known = self.rows.iter().find(|row| row.id == kept.id);
        let sent = known.map(|row| row.sent.clone()).unwrap_or_default();
        let mut new = row(kept, every, sent, now_ms);
        let others = self.rows.iter().filter(|row| row.id != new.id);
        (new.blame, new.incident) = Known::of(others.chain([&new]), &self.pages, now_ms).blamed(&new);
        new
    }
}

/// What is known of the connections of each provider, by when it was found out: of those that were not checked since one
/// fails, nobody knows whether they do too.
struct Known<'a> {
    checked: BTreeMap<&'a str, Vec<(i64, Peers)>>,
    /// Whose webhooks come, or have fallen silent.
    heard: BTreeMap<&'a str, Peers>,
    pages: &'a BTreeMap<String, Page>,
    now_ms: i64,
}

/// What one connection says of its provider.
#[derive(Clone, Copy)]
enum Says {
    Works,
    Fails,
    IsRefused,
    /// It failed or did badly when it was asked last, and is not yet said to.
    MayFail,
}

impl Says {
    /// None: nothing is known of it.
    fn of(row: &Row) -> Option<Self> {
        let is_refused = row.trouble.is_some_and(blame::is_of_the_account);
        match (row.verdict, row.found?) {
            (Verdict::Unknown | Verdict::Paused, _) => None,
            (Verdict::Degraded | Verdict::Down, _) if is_refused => Some(Self::IsRefused),
            // What is silent is so though its calls go well.
            (Verdict::Degraded | Verdict::Down, _) if row.trouble != Some(Trouble::Silent) => {
                Some(Self::Fails)
            }
            (_, Finding::Good) => Some(Self::Works),
            (_, Finding::Poor | Finding::Failed) => Some(Self::MayFail),
            (_, Finding::Inconclusive) => None,
        }
    }
}

/// Connections of one provider as they are counted, one after the other.
#[derive(Default)]
struct Counted<'a> {
    peers: Peers,
    known: BTreeSet<&'a str>,
    failing: BTreeSet<&'a str>,
    refused: BTreeSet<&'a str>,
    /// Of which nothing else is known.
    doubtful: BTreeSet<&'a str>,
}

impl<'a> Counted<'a> {
    /// Counts one more, of this business; how all do that were counted.
    fn add(&mut self, business: &'a str, says: Says) -> Peers {
        let one = |count: &mut Count, businesses: &mut BTreeSet<&'a str>| {
            count.connections += 1;
            count.businesses += u32::from(businesses.insert(business));
        };
        let (peers, doubtful) = (&mut self.peers, &mut self.doubtful);
        if let Says::MayFail = says {
            peers.doubtful.connections += 1;
            peers.doubtful.businesses +=
                u32::from(!self.known.contains(business) && doubtful.insert(business));
            return *peers;
        }
        one(&mut peers.known, &mut self.known);
        peers.doubtful.businesses -= u32::from(doubtful.remove(business));
        match says {
            Says::Fails => one(&mut peers.failing, &mut self.failing),
            Says::IsRefused => one(&mut peers.refused, &mut self.refused),
            Says::Works | Says::MayFail => {}
        }
        *peers
    }
}

impl<'a> Known<'a> {
    fn of(rows: impl IntoIterator<Item = &'a Row>, pages: &'a BTreeMap<String, Page>, now_ms: i64) -> Self {
        let mut all: BTreeMap<&str, Vec<(i64, &str, Says)>> = BTreeMap::new();
        let mut heard: BTreeMap<&str, Counted<'a>> = BTreeMap::new();
        for row in rows {
            let is_silent = row.sent.silent.is_some();
            if is_silent || row.sent.is_normal {
                let says = if is_silent { Says::Fails } else { Says::Works };
                heard.entry(&row.provider).or_default().add(&row.business, says);
            }
            if let (Some(checked_ms), Some(says)) = (row.checked_ms, Says::of(row)) {
                all.entry(&row.provider).or_default().push((checked_ms, &row.business, says));
            }
        }
        // The latest first, each with the sum of those that are as late.
        let summed = |mut known: Vec<(i64, &'a str, Says)>| -> Vec<(i64, Peers)> {
            known.sort_by_key(|(checked_ms, ..)| std::cmp::Reverse(*checked_ms));
            let mut counted = Counted::default();
            let add = |(checked_ms, business, says)| (checked_ms, counted.add(business, says));
            known.into_iter().map(add).collect()
        };
        let checked = all.into_iter().map(|(provider, known)| (provider, summed(known))).collect();
        let heard = heard.into_iter().map(|(provider, counted)| (provider, counted.peers)).collect();
        Self { checked, heard, pages, now_ms }
    }

    /// How those of a provider do that were checked since then.
    fn since(known: &[(i64, Peers)], since_ms: i64) -> Peers {
        let count = known.partition_point(|(checked_ms, _)| *checked_ms >= since_ms);
        count.checked_sub(1).and_then(|last| known.get(last)).map_or_else(Peers::default, |(_, peers)| *peers)
    }

    /// Whose fault it is, if anything is wrong; and the provider's own word for it, where that is what speaks for it.
    fn blamed(&self, row: &Row) -> (Option<(Blame, blame::Reason)>, Option<String>) {
        let Some(trouble) = row.trouble else { return (None, None) };
        let page = self.pages.get(&row.provider);
        let since_ms = row.since_ms.unwrap_or(i64::MIN);
        let mut all: BTreeMap<&str, Peers> = if trouble == Trouble::Silent {
            self.heard.clone()
        } else {
            self.checked.iter().map(|(name, known)| (*name, Self::since(known, since_ms))).collect()
        };
        let peers = all.remove(row.provider.as_str()).unwrap_or_default();
        let others: Vec<Peers> = all.into_values().collect();
        let blamed = blame::blame(&Evidence {
            trouble,
            peers,
            others: &others,
            incident: page.and_then(|page| page.has_incident(self.now_ms)),
            is_tenants_server: checks::of(&row.provider).is_some_and(checks::Way::is_tenants_server),
            is_application_refused: row.is_application_refused,
        });
        let incident = page.and_then(|page| page.incident(self.now_ms)).map(|incident| incident.name.clone());
        (Some(blamed), incident.filter(|_| blamed.1 == blame::Reason::StatusPage))
    }
}

impl EndpointRow {
    fn of(endpoint: Endpoint, due_ms: i64, every: Duration, now_ms: i64) -> Self {
        let verdict = endpoint.verdict(now_ms, every);
        let trouble = endpoint.trouble(due_ms, now_ms, every);
        let is_overdue = trouble == Some(Trouble::NotChecked);
        let last = endpoint.health.checks().last();
        Self {
            verdict,
            since_ms: if is_overdue { Some(due_ms) } else { endpoint.health.since_ms() },
            checked_ms: last.map(|check| check.at_ms),
            took_ms: last.map(|check| check.took_ms),
            trouble,
            advice: endpoint.advice.filter(|_| trouble.is_some() && !is_overdue),
            certificate_ends_ms: endpoint.certificate_ends_ms,
            synthetic: endpoint.synthetic.done,
            has_synthetic: endpoint.synthetic.can_be_made,
            url: endpoint.url,
        }
    }
}

/// How much of the fullest quota is used up, in per cent; none, where no limit is told.
fn fullest(quotas: &[Tracked]) -> Option<u64> {
    quotas.iter().filter_map(Tracked::used_percent).max()
}

impl Row {
    /// How much of its fullest quota is used up, in per cent; none, where no limit is told.
    pub fn quota_used(&self) -> Option<u64> {
        fullest(&self.quotas)
    }

    /// One that works.
    #[cfg(test)]
    pub(crate) fn example(id: &str) -> Self {
        let kept = Kept {
            id: id.to_owned(),
            provider: "square".to_owned(),
            document: Doing { business: "harbour".to_owned(), ..Doing::default() },
            due_ms: 0,
            revision: 1,
        };
        row(&kept, Duration::from_mins(5), Sent::default(), 0)
    }

    /// Where it stands in the order of all: the worst first, of these those that have been so for longest.
    pub fn place(&self) -> (std::cmp::Reverse<Verdict>, u8, i64, &str) {
        (
            std::cmp::Reverse(self.verdict),
            self.score.unwrap_or(0),
            self.since_ms.unwrap_or(i64::MAX),
            &self.id,
        )
    }
}

fn row(kept: &Kept<Doing>, every: Duration, mut sent: Sent, now_ms: i64) -> Row {
    let Kept { id, provider, document, .. } = kept;
    let found = document.verdict(now_ms, every);
    if found == Verdict::Paused {
        sent.silent = None;
    }
    let owned_ms = document.owned_ms();
    if owned_ms.is_some() && owned_ms > sent.last_ms {
        // What it sent is another business's.
        sent = Sent { token: sent.token, token_ends_ms: sent.token_ends_ms, ..Sent::default() };
    }
    // Whose calls go well and whose webhooks do not come works badly, and what can't be asked is heard or not all the same.
    let silent = sent.silent.filter(|_| matches!(found, Verdict::Up | Verdict::Unknown));
    let verdict = if silent.is_some() { Verdict::Degraded } else { found };
    let checks = document.health.checks();
    let last = checks.last();
    // What was wrong when it was checked for the last time is not told as if it were so now.
    let is_overdue = found == Verdict::Unknown && document.health.is_overdue(kept.due_ms, now_ms, every);
    let is_told = silent.is_none() && !is_overdue && !matches!(verdict, Verdict::Up | Verdict::Paused);
    let told = |text: &Option<String>| text.clone().filter(|_| is_told);
    let failed = checks.iter().filter(|check| check.finding == Finding::Failed).count();
    let token_ends_ms = sent.token_ends_ms.max(document.token_ends_ms());
    let hour = span::millis(Duration::from_hours(1));
    let scored = score::score(&Facts {
        verdict: found,
        token: sent.token,
        is_silent: silent.is_some(),
        failing_per_mille: sent.failing_per_mille,
        token_ends_in_hours: token_ends_ms.map(|ends| (ends - now_ms).div_euclid(hour)),
        quota_used_percent: fullest(&document.quotas),
    });
    let (score, reasons) = scored.map_or((None, Vec::new()), |(score, reasons)| (Some(score), reasons));
    Row {
        id: id.clone(),
        provider: provider.clone(),
        business: document.business.clone(),
        owned_ms,
        location: document.location.clone(),
        verdict,
        since_ms: match silent {
            Some(Silent { since_ms, .. }) => Some(since_ms),
            None if is_overdue => Some(kept.due_ms),
            None => document.health.since_ms().filter(|_| verdict != Verdict::Paused),
        },
        checked_ms: last.map(|check| check.at_ms),
        took_ms: last.map(|check| check.took_ms),
        found: last.map(|check| check.finding),
        checks: u32::try_from(checks.len()).unwrap_or(0),
        failed: u32::try_from(failed).unwrap_or(0),
        trouble: match silent {
            Some(_) => Some(Trouble::Silent),
            None if is_overdue => Some(Trouble::NotChecked),
            None => document.health.trouble().filter(|_| is_told),
        },
        code: told(&document.code),
        endpoint: told(&document.endpoint),
        advice: match silent {
            Some(silent) => Some(silent.to_string()),
            None => told(&document.advice),
        },
        blame: None,
        incident: None,
        is_application_refused: document.is_application_refused,
        score,
        reasons,
        quotas: document.quotas.clone(),
        token_ends_ms,
        missing_scopes: document.missing_scopes.clone(),
        sent,
    }
}

impl Roster {
    /// How all connections do, by a survey that is no older than that.
    pub async fn surveyed(&self, oldest: Duration) -> Result<Arc<Survey>, WatchError> {
        let now_ms = self.clock.now().as_millisecond();
        let is_fresh =
            |survey: &Survey, oldest: Duration| (0..=span::millis(oldest)).contains(&(now_ms - survey.at_ms));
        let mut last = self.surveys.last.lock().await;
        if let Some(last) = last.as_ref().filter(|last| is_fresh(last, oldest)) {
            return Ok(Arc::clone(last));
        }
        let mut found = None;
        if let Some(kept) = &self.surveys.kept
            && let Ok(survey) = objects::read(&**kept, NAME, self.clock.now()).await
        {
            found = survey.filter(|survey| is_fresh(survey, OLDEST));
        }
        let survey = match found {
            Some(survey) => survey,
            None => self.survey().await?,
        };
        let survey = Arc::new(survey);
        *last = Some(Arc::clone(&survey));
        Ok(survey)
    }

    /// Makes a new survey, for all who ask from now on, unless one was made a moment ago.
    pub async fn surveyed_anew(&self) -> Result<(), WatchError> {
        let now_ms = self.clock.now().as_millisecond();
        let last_ms = self.surveys.last.lock().await.as_ref().map(|last| last.at_ms);
        if last_ms.is_some_and(|last_ms| (0..span::millis(OFTEN)).contains(&(now_ms - last_ms))) {
            return Ok(());
        }
        let survey = Arc::new(self.survey().await?);
        self.watch_beside(&survey).await?;
        if let Some(kept) = &self.surveys.kept {
            objects::write(&**kept, NAME, &*survey, self.clock.now()).await?;
        }
        *self.surveys.last.lock().await = Some(survey);
        Ok(())
    }

    async fn survey(&self) -> Result<Survey, WatchError> {
        let all = self.everything().await?;
        let every = |provider: Option<&str>| {
            provider.and_then(|provider| self.interval(provider)).unwrap_or(self.every)
        };
        // How they do is told without what can't be read.
        let standing = match self.tallies.concluded().await {
            Ok((standing, _)) => standing,
            Err(error) => {
                tracing::warn!(%error, "what was concluded of connections' webhooks can't be read");
                Arc::default()
            }
        };
        Ok(Survey::of(all, every, &standing, self.clock.now().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use tillwatch_domain::health::{Check, Health};

    use super::*;

    const EVERY: Duration = Duration::from_mins(5);
    const MINUTE_MS: i64 = 60_000;

    /// One that was checked at these minutes, and found so, and is due five minutes after the last.
    fn checked(id: &str, checks: &[(i64, Option<Trouble>)]) -> Kept<Doing> {
        let mut health = Health::default();
        for (minute, trouble) in checks {
            health.take(Check::found(minute * MINUTE_MS, *trouble, 90));
        }
        let due_ms = checks.last().map_or(0, |(minute, _)| (minute + 5) * MINUTE_MS);
        let document = Doing { business: id.to_owned(), health, ..Doing::default() };
        Kept { id: id.to_owned(), provider: "square".to_owned(), document, due_ms, revision: 1 }
    }

    fn surveyed(connections: Vec<Kept<Doing>>, minute: i64) -> Survey {
        let all = All { connections, ..All::default() };
        Survey::of(all, |_| EVERY, &Standing::default(), minute * MINUTE_MS)
    }

    fn row_of(survey: &Survey, id: &str) -> Row {
        survey.rows.iter().find(|row| row.id == id).cloned().unwrap()
    }

    #[test]
    fn who_has_failed_once_does_not_count_among_those_that_work() {
        let broken = Some(Trouble::ProviderError);
        let mut all: Vec<_> =
            ["b", "c", "d", "e"].map(|id| checked(id, &[(0, None), (5, broken)])).into_iter().collect();
        all.push(checked("a", &[(0, None), (4, broken), (5, broken)]));
        let first = row_of(&surveyed(all.clone(), 5), "a");
        let whose = first.blame.map(|blame| blame.0);
        assert_eq!((first.verdict, whose), (Verdict::Down, Some(Blame::Unknown)));
        let works = ["f", "g", "h", "i", "k", "l"].map(|id| checked(id, &[(0, None), (5, None)]));
        all.extend(works);
        assert_eq!(row_of(&surveyed(all, 5), "a").blame.map(|blame| blame.0), Some(Blame::Tenant));
    }

    #[test]
    fn when_checks_stop_old_trouble_is_not_told_as_if_it_were_so_now() {
        let refused = Some(Trouble::TokenRefused);
        let mut down = checked("a", &[(0, refused), (1, refused)]);
        down.document.code = Some("ACCESS_TOKEN_REVOKED".to_owned());
        let told = |minute: i64| row_of(&surveyed(vec![down.clone()], minute), "a");
        let (now, later) = (told(10), told(17));
        assert_eq!((now.verdict, now.trouble), (Verdict::Down, refused));
        assert_eq!((later.verdict, later.trouble), (Verdict::Unknown, Some(Trouble::NotChecked)));
        assert_eq!(later.blame, Some((Blame::Us, blame::Reason::NotChecked)));
        assert_eq!((later.code, later.since_ms), (None, Some(6 * MINUTE_MS)));
    }

    #[test]
    fn what_can_not_be_checked_is_not_taken_for_what_is_not() {
        let mut unset = checked("a", &[(0, Some(Trouble::Misconfigured))]);
        unset.due_ms = 60 * MINUTE_MS;
        let row = row_of(&surveyed(vec![unset], 50), "a");
        assert_eq!((row.verdict, row.trouble), (Verdict::Unknown, Some(Trouble::Misconfigured)));
    }

    #[test]
    fn of_an_address_of_ours_too() {
        let mut health = Health::default();
        health.take(Check::found(0, Some(Trouble::Certificate), 90));
        health.take(Check::found(MINUTE_MS, Some(Trouble::Certificate), 90));
        let advice = Some("It ended.".to_owned());
        let endpoint = Endpoint { health, advice, ..Endpoint::default() };
        let told = |minute: i64| EndpointRow::of(endpoint.clone(), 6 * MINUTE_MS, EVERY, minute * MINUTE_MS);
        assert_eq!((told(10).verdict, told(10).trouble), (Verdict::Down, Some(Trouble::Certificate)));
        let later = told(17);
        assert_eq!((later.verdict, later.trouble), (Verdict::Unknown, Some(Trouble::NotChecked)));
        assert_eq!((later.advice, later.since_ms), (None, Some(6 * MINUTE_MS)));
    }
}
