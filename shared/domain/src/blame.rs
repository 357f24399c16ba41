//! Whose fault it is that a connection does not work: the provider's, ours, one tenant's, or nobody can tell. By stated
//! rules over what is known of all connections, with the evidence in numbers.

use serde::{Deserialize, Serialize};

use crate::health::Trouble;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The provider's.
    Provider,
    /// Ours.
    Us,
    /// This tenant's alone: its token, its account, its own server.
    Tenant,
    /// Nobody can tell yet.
    Unknown,
}

impl Blame {
    /// The name used in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Us => "us",
            Self::Tenant => "tenant",
            Self::Unknown => "unknown",
        }
    }
}

/// Why it is that one's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Nothing outside can be reached from here, whoever's it is.
    NothingIsReached,
    /// It is we who do not check it.
    NotChecked,
    /// Connections of most providers do not work at once.
    MostProvidersFail,
    /// The provider says so itself.
    StatusPage,
    /// Most of the provider's connections do not work, and others' do.
    MostOfProviderFail,
    /// Most of the provider's connections are refused at once: what they share is our application.
    MostAreRefused,
    /// Most of the provider's connections are at a limit at once: what they share is our application.
    MostAreLimited,
    /// The provider refuses our application and not the connection.
    ApplicationRefused,
    /// It is the address at which providers reach us.
    OurAddress,
    /// Others of the provider's connections work.
    OthersWork,
    /// It is the tenant's own server.
    TenantsServer,
    /// It is the tenant's token or account.
    TenantsAccount,
    /// There is nothing to compare it with, or what there is may fail as well.
    TooFew,
}

impl Reason {
    /// What speaks for it, in a sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::NothingIsReached => "Nothing outside can be reached from here, whoever's it is.",
            Self::NotChecked => "It is checked from here, and was not.",
            Self::MostProvidersFail => "Connections of most providers do not work at once.",
            Self::StatusPage => "The provider's own status page tells of an incident.",
            Self::MostOfProviderFail => {
                "Most of this provider's connections do not work, and other providers' do."
            }
            Self::MostAreRefused => {
                "Most of this provider's connections are refused at once: what they share is our application."
            }
            Self::MostAreLimited => {
                "Most of this provider's connections are at a limit at once: what they share is our application."
            }
            Self::ApplicationRefused => "The provider refuses our application, and not the connection.",
            Self::OurAddress => "It is the address at which providers reach us.",
            Self::OthersWork => "Others of this provider's connections work.",
            Self::TenantsServer => "It is the tenant's own server.",
            Self::TenantsAccount => "It is this account's token, settings or standing, and no other's.",
            Self::TooFew => {
                "There are too few connections of this provider to compare it with, they were not checked since, or they have begun to fail too."
            }
        }
    }
}

/// Whether a trouble is of the account alone: its token, its rights, its settings.
pub fn is_of_the_account(trouble: Trouble) -> bool {
    match trouble {
        Trouble::TokenRefused
        | Trouble::ScopeMissing
        | Trouble::AccountGone
        | Trouble::Misconfigured
        | Trouble::AddressNotPublic => true,
        Trouble::Slow
        | Trouble::RateLimited
        | Trouble::TimedOut
        | Trouble::NoAddress
        | Trouble::Unreachable
        | Trouble::Certificate
        | Trouble::CertificateEndsSoon
        | Trouble::ProviderError
        | Trouble::Unreadable
        | Trouble::Refused
        | Trouble::OurNetwork
        | Trouble::Unprocessed
        | Trouble::Silent
        | Trouble::NotChecked => false,
    }
}

/// So many connections, and the businesses that they belong to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Connections.
    pub connections: u32,
    /// Businesses.
    pub businesses: u32,
}

/// How the connections of one provider do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peers {
    /// How many are checked and known.
    pub known: Count,
    /// How many of these fail to be reached or answered, or are so badly.
    pub failing: Count,
    /// How many are refused: their tokens or accounts.
    pub refused: Count,
    /// How many failed or did badly when they were asked last, and are not yet said to: nobody knows. Businesses of which
    /// nothing else is known.
    pub doubtful: Count,
}

/// What is known when a connection does not work.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// What is wrong with it.
    pub trouble: Trouble,
    /// How the connections of its provider do, itself among them.
    pub peers: Peers,
    /// How those of each other provider do that has any.
    pub others: &'a [Peers],
    /// Whether the provider's own status page tells of an incident; none: it has none, or it is not known.
    pub incident: Option<bool>,
    /// Whether the tenant's own server answers, and not the provider's.
    pub is_tenants_server: bool,
    /// Whether the provider refuses our application: then nothing is said of the connection. Or did when the token was to be
    /// refreshed: then it is no wonder that the token has ended.
    pub is_application_refused: bool,
}

/// So many connections must be known for their number to say something.
const ENOUGH: u32 = 3;
/// So many providers must there be for most of them to say something.
const PROVIDERS: usize = 2;
/// What happens to so many businesses at once is no longer one tenant's own doing.
const SEVERAL: u32 = 2;

impl Count {
    /// Whether they are half of all, by connections and by businesses: one business may have most of the connections.
    fn are_most_of(self, all: Self) -> bool {
        self.connections * 2 >= all.connections.max(1) && self.businesses * 2 >= all.businesses.max(1)
    }

    fn and(self, more: Self) -> Self {
        Self {
            connections: self.connections + more.connections,
            businesses: self.businesses + more.businesses,
        }
    }
}

impl Peers {
    /// Whether most fail, of more businesses than one where there are more.
    fn most_fail(self) -> bool {
        self.failing.are_most_of(self.known) && self.failing.businesses >= SEVERAL.min(self.known.businesses)
    }

    fn most_are_refused(self) -> bool {
        self.known.connections >= ENOUGH
            && self.refused.are_most_of(self.known)
            && self.refused.businesses >= SEVERAL
    }

    /// How they do if all of which there is doubt turn out to fail.
    fn at_worst(self) -> Self {
        let Self { known, failing, refused, doubtful } = self;
        Self {
            known: known.and(doubtful),
            failing: failing.and(doubtful),
            refused,
            doubtful: Count::default(),
        }
    }
}

/// Whose fault it is, and why. Nobody can tell as long as that hangs on connections of which it is in doubt whether they fail:
/// when a provider breaks, they are asked one after the other.
pub fn blame(evidence: &Evidence<'_>) -> (Blame, Reason) {
    let told = by_what_is_known(evidence);
    if is_of_the_account(evidence.trouble) {
        return told;
    }
    let others: Vec<Peers> = evidence.others.iter().map(|other| other.at_worst()).collect();
    let at_worst = Evidence { peers: evidence.peers.at_worst(), others: &others, ..*evidence };
    if by_what_is_known(&at_worst).0 == told.0 { told } else { (Blame::Unknown, Reason::TooFew) }
}

fn by_what_is_known(evidence: &Evidence<'_>) -> (Blame, Reason) {
    let Evidence { trouble, peers, others, .. } = *evidence;
    if trouble == Trouble::OurNetwork {
        return (Blame::Us, Reason::NothingIsReached);
    }
    if trouble == Trouble::NotChecked {
        return (Blame::Us, Reason::NotChecked);
    }
    if evidence.is_application_refused && matches!(trouble, Trouble::TokenRefused | Trouble::Misconfigured) {
        return (Blame::Us, Reason::ApplicationRefused);
    }
    if is_of_the_account(trouble) {
        return match (peers.most_are_refused(), evidence.incident) {
            (true, Some(true)) => (Blame::Provider, Reason::StatusPage),
            (true, _) => (Blame::Us, Reason::MostAreRefused),
            (false, _) => (Blame::Tenant, Reason::TenantsAccount),
        };
    }
    let known: Vec<&Peers> = others.iter().filter(|other| other.known.connections > 0).collect();
    let known_elsewhere = known.len();
    let failing_elsewhere = known.iter().filter(|other| other.most_fail()).count();
    if known_elsewhere >= PROVIDERS && failing_elsewhere * 2 > known_elsewhere && peers.most_fail() {
        return (Blame::Us, Reason::MostProvidersFail);
    }
    if evidence.is_tenants_server {
        return (Blame::Tenant, Reason::TenantsServer);
    }
    if evidence.incident == Some(true) {
        return (Blame::Provider, Reason::StatusPage);
    }
    if peers.known.connections < ENOUGH {
        return (Blame::Unknown, Reason::TooFew);
    }
    if peers.most_fail() {
        if trouble == Trouble::RateLimited {
            return (Blame::Us, Reason::MostAreLimited);
        }
        // As long as none elsewhere is known to work and some were not asked since, it may be all of them.
        let may_be_all = others.len() >= PROVIDERS && known_elsewhere < others.len();
        if may_be_all && known_elsewhere == failing_elsewhere {
            return (Blame::Unknown, Reason::TooFew);
        }
        return (Blame::Provider, Reason::MostOfProviderFail);
    }
    (Blame::Tenant, Reason::OthersWork)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many connections, each of a business of its own.
    const fn each(connections: u32) -> Count {
        Count { connections, businesses: connections }
    }

    const fn peers(known: u32, failing: u32) -> Peers {
        Peers { known: each(known), failing: each(failing), refused: each(0), doubtful: each(0) }
    }

    fn refused(known: Count, refused: Count) -> Peers {
        Peers { known, refused, ..Peers::default() }
    }

    const FINE: &[Peers] = &[peers(50, 0), peers(9, 1)];

    fn told(evidence: &Evidence<'_>) -> &'static str {
        blame(evidence).0.name()
    }

    fn evidence(trouble: Trouble, peers: Peers) -> Evidence<'static> {
        Evidence {
            trouble,
            peers,
            others: FINE,
            incident: None,
            is_tenants_server: false,
            is_application_refused: false,
        }
    }

    #[test]
    fn a_provider_most_of_whose_connections_fail_is_at_fault_while_others_work() {
        assert_eq!(told(&evidence(Trouble::ProviderError, peers(40, 31))), "provider");
        assert_eq!(told(&evidence(Trouble::TimedOut, peers(40, 1))), "tenant");
        assert_eq!(told(&evidence(Trouble::TimedOut, peers(2, 2))), "unknown");
    }

    #[test]
    fn what_its_status_page_says_is_believed_of_its_own_troubles() {
        let page = |trouble, peers| told(&Evidence { incident: Some(true), ..evidence(trouble, peers) });
        assert_eq!(page(Trouble::ProviderError, peers(1, 1)), "provider");
        assert_eq!(page(Trouble::TokenRefused, refused(each(40), each(1))), "tenant");
        assert_eq!(page(Trouble::TokenRefused, refused(each(40), each(30))), "provider");
    }

    #[test]
    fn we_are_at_fault_when_connections_of_most_providers_fail_at_once() {
        let all = [peers(50, 50), peers(9, 9), peers(5, 1)];
        let found = Evidence { others: &all, ..evidence(Trouble::Unreachable, peers(40, 40)) };
        assert_eq!(blame(&found), (Blame::Us, Reason::MostProvidersFail));
        let one = [peers(50, 50)];
        let found = Evidence { others: &one, ..evidence(Trouble::Unreachable, peers(40, 40)) };
        assert_eq!(told(&found), "provider", "two of two may fail by chance");
        assert_eq!(told(&evidence(Trouble::OurNetwork, peers(40, 0))), "us");
        assert_eq!(told(&evidence(Trouble::NotChecked, peers(40, 0))), "us");
    }

    #[test]
    fn a_token_that_is_refused_is_the_tenants_matter_unless_most_are_refused_at_once() {
        assert_eq!(told(&evidence(Trouble::TokenRefused, refused(each(40), each(1)))), "tenant");
        assert_eq!(told(&evidence(Trouble::TokenRefused, refused(each(40), each(21)))), "us");
        let app = Evidence { is_application_refused: true, ..evidence(Trouble::Misconfigured, peers(40, 0)) };
        assert_eq!(blame(&app), (Blame::Us, Reason::ApplicationRefused));
        let app = Evidence { is_application_refused: true, ..evidence(Trouble::TokenRefused, peers(40, 0)) };
        assert_eq!(told(&app), "us");
        let late = Evidence { trouble: Trouble::TimedOut, ..app };
        assert_eq!(blame(&late).1, Reason::OthersWork, "that has nothing to do with it");
    }

    #[test]
    fn one_tenant_with_most_of_the_connections_is_one_tenant() {
        let of = |connections: u32, businesses: u32| Count { connections, businesses };
        let back = |known: Count, refused_ones: Count| {
            told(&evidence(Trouble::TokenRefused, refused(known, refused_ones)))
        };
        assert_eq!(back(of(5, 3), of(3, 1)), "tenant", "it took back its consent");
        assert_eq!(back(of(3, 1), of(3, 1)), "tenant");
        assert_eq!(back(of(5, 3), of(4, 2)), "us");
        assert_eq!(back(of(40, 4), of(2, 2)), "tenant", "the others of the same two work");
        let late = |known: Count, failing: Count| {
            told(&evidence(Trouble::TimedOut, Peers { known, failing, ..Peers::default() }))
        };
        assert_eq!(late(of(5, 2), of(3, 1)), "tenant");
        assert_eq!(late(of(5, 2), of(4, 2)), "provider");
        assert_eq!(late(of(5, 1), of(5, 1)), "provider", "there is but one business");
    }

    #[test]
    fn while_others_have_begun_to_fail_nobody_is_blamed_who_might_not_be() {
        let begun = |known: u32, failing: u32, doubtful: u32| Peers {
            doubtful: each(doubtful),
            ..peers(known, failing)
        };
        assert_eq!(told(&evidence(Trouble::ProviderError, begun(40, 1, 40))), "unknown");
        assert_eq!(told(&evidence(Trouble::ProviderError, begun(40, 1, 3))), "tenant");
        assert_eq!(told(&evidence(Trouble::ProviderError, begun(40, 25, 10))), "provider");
        let elsewhere = [peers(9, 9), peers(0, 0), begun(0, 0, 5)];
        let first = Evidence { others: &elsewhere, ..evidence(Trouble::ProviderError, peers(40, 40)) };
        assert_eq!(told(&first), "unknown", "the others were not asked since");
        let elsewhere = [begun(0, 0, 5), begun(0, 0, 5)];
        let all = Evidence { others: &elsewhere, ..evidence(Trouble::ProviderError, peers(40, 40)) };
        assert_eq!(told(&all), "unknown", "it may be us");
    }

    #[test]
    fn a_server_of_the_tenants_own_is_the_tenants_matter_while_we_reach_others() {
        let own = Evidence { is_tenants_server: true, ..evidence(Trouble::Unreachable, peers(4, 3)) };
        assert_eq!(told(&own), "tenant");
        let all = [peers(50, 50), peers(9, 9)];
        assert_eq!(told(&Evidence { others: &all, ..own }), "us");
    }
}
