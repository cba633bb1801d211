//! Places in a text that hold a secret, and the marks that take their place.

const OPEN: &str = "‹redacted: ";
const CLOSE: &str = "›";

macro_rules! reasons {
    ($($variant:ident = $text:literal),* $(,)?) => {
        /// Why something was taken out. A closed list: only these make a mark, so nothing else passes for one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($variant),*
        }

        impl Reason {
            const ALL: &[Self] = &[$(Self::$variant),*];

            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),*
                }
            }
        }
    };
}

reasons! {
    Password = "password",
    Secret = "secret",
    Token = "token",
    ApiKey = "api key",
    PrivateKey = "private key",
    Key = "key",
    Authorization = "authorization",
    Cookie = "cookie",
    Session = "session",
    Credential = "credential",
    Pin = "pin",
    CardCode = "card code",
    CardNumber = "card number",
    SocialSecurity = "social security number",
    OneTimeCode = "one-time code",
    Signature = "signature",
    Jwt = "jwt",
    Pem = "pem block",
    Bearer = "bearer token",
    Basic = "basic credentials",
    UrlPassword = "url password",
    KnownKey = "well-known key",
    HighEntropy = "high entropy",
    SecretType = "secret type",
    Custom = "custom rule",
    Unclear = "unclear",
}

impl Reason {
    /// Whether the value itself was taken for a secret, rather than its name.
    pub(crate) fn is_by_look(self) -> bool {
        use Reason::{Basic, Bearer, CardNumber, Custom, HighEntropy, Jwt, KnownKey, Pem, UrlPassword};
        matches!(
            self,
            CardNumber | Jwt | Pem | Bearer | Basic | UrlPassword | KnownKey | HighEntropy | Custom
        )
    }

    /// What stands in the text instead of the secret.
    pub(crate) fn marker(self) -> String {
        format!("{OPEN}{}{CLOSE}", self.as_str())
    }
}

/// Length of the mark that `text` begins with.
pub(crate) fn marker_len(text: &str) -> Option<usize> {
    let rest = text.strip_prefix(OPEN)?;
    let reason = Reason::ALL
        .iter()
        .find(|reason| rest.strip_prefix(reason.as_str()).is_some_and(|rest| rest.starts_with(CLOSE)))?;
    Some(OPEN.len() + reason.as_str().len() + CLOSE.len())
}

/// Whether `text` is one mark and nothing else.
pub(crate) fn is_marker(text: &str) -> bool {
    marker_len(text) == Some(text.len())
}

/// Where marks stand in `text`, in order.
pub(crate) fn markers(text: &str) -> Vec<(usize, usize)> {
    let starts = text.match_indices(OPEN);
    starts.filter_map(|(at, _)| Some((at, at + text.get(at..).and_then(marker_len)?))).collect()
}

/// Bytes `start..end` hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) reason: Reason,
}

/// What was found in one text.
#[derive(Debug, Default)]
pub(crate) struct Spans(Vec<Span>);

impl Spans {
    pub(crate) fn add(&mut self, start: usize, end: usize, reason: Reason) {
        if start < end {
            self.0.push(Span { start, end, reason });
        }
    }

    /// Adds what of `start..end` lies outside of `markers`, so that a rule that also fits the words of a mark, or what
    /// stands around one, does not wrap marks in marks.
    pub(crate) fn add_around(
        &mut self,
        start: usize,
        end: usize,
        reason: Reason,
        markers: &[(usize, usize)],
    ) {
        let first = markers.partition_point(|&(_, marker_end)| marker_end <= start);
        let mut at = start;
        for &(marker_start, marker_end) in markers.iter().skip(first).take_while(|marker| marker.0 < end) {
            self.add(at, marker_start.max(at), reason);
            at = marker_end;
        }
        self.add(at, end.max(at), reason);
    }

    pub(crate) fn first(&self) -> Option<&Span> {
        self.0.first()
    }

    /// Puts them in order and joins those that overlap. The reason of the one that begins first, then of the one that
    /// was found first, is kept: finders run from the specific to the general.
    pub(crate) fn merge(&mut self) {
        self.0.sort_by_key(|span| span.start);
        self.0.dedup_by(|later, kept| {
            let overlap = later.start < kept.end;
            if overlap {
                kept.end = kept.end.max(later.end);
            }
            overlap
        });
    }

    /// Drops those that `keep` refuses.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Span) -> bool) {
        self.0.retain(keep);
    }

    /// `text` with marks in place of the spans, or `None` where there are none. Spans must be merged.
    pub(crate) fn replace(&self, text: &str) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for span in &self.0 {
            // Finders cut at ASCII bytes only, so both ends are character boundaries.
            out.push_str(text.get(at..span.start).unwrap_or_default());
            out.push_str(&span.reason.marker());
            at = span.end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        Some(out)
    }
}
