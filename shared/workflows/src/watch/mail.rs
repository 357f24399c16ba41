//! A check of a connection to a mail server: a sign-in, and no mail.

use tillwatch_platform::outbound::{Outbound, OutboundError, Say, Talk, TalkTo};
use tillwatch_providers::checks::Judged;
use tillwatch_providers::smtp::{ENDPOINT, MailServer, NAME, Reply, Session, Step};

/// Signs in, and says what came of it.
pub(super) async fn sign_in(outbound: &Outbound, server: &MailServer) -> Result<Judged, OutboundError> {
    let MailServer { host, port, is_secure, username, password } = server;
    let to = TalkTo { provider: NAME, endpoint: ENDPOINT, host, port: *port, is_secure: *is_secure };
    let session = Session::new(username, password.clone(), *is_secure);
    outbound.talk(&to, SignIn(session)).await
}

struct SignIn(Session);

impl Talk for SignIn {
    type End = Judged;

    fn goes_on(&self, line: &str) -> bool {
        Reply::goes_on(line)
    }

    fn replied(&mut self, lines: &[String]) -> Say<Judged> {
        said(self.0.read(lines))
    }

    fn secured(&mut self) -> Say<Judged> {
        said(self.0.secured())
    }
}

fn said(step: Step) -> Say<Judged> {
    match step {
        Step::Send(line) => Say::Line(line),
        Step::Secure => Say::Secure,
        Step::Leave(line, judged) => Say::Leave(line, judged),
        Step::Over(judged) => Say::Over(judged),
    }
}
