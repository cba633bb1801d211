//! The page that asks for the token.

use super::{Viewer, frame};

/// Asks for the token and goes on to `next`, which the caller has found to be a path of ours. `complaint` says why it asks again.
pub(crate) fn login(next: &str, complaint: Option<&str>) -> String {
    frame("Sign in", Viewer { can_sign_out: false }, |h| {
        h.raw("<section class=\"card narrow\"><h1>Sign in</h1>");
        if let Some(complaint) = complaint {
            h.raw("<p class=\"warning\" role=\"alert\">").text(complaint).raw("</p>");
        }
        h.raw("<form method=\"post\" action=\"/login\"><label for=\"token\">Token</label>")
            .raw("<input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus>")
            .raw("<input type=\"hidden\" name=\"next\" value=\"")
            .text(next)
            .raw("\"><button class=\"primary\">Sign in</button></form>")
            .raw("<p class=\"hint\">On the host of the service, <code>freezeframe token</code> prints it. ")
            .raw("The session lasts 12 hours.</p></section>");
    })
}
