//! Redaction of texts that arrive line by line, where one secret may span several of them.

use std::borrow::Cow;

use crate::Redactor;
use crate::shape::{is_pem_line, pem_label_end};
use crate::span::Reason;

/// Lines after which an unfinished PEM block is given up.
const PEM_LINES_MAX: u32 = 1024;

/// Remembers between the lines of one stream whether a PEM block is open. One per stream.
#[derive(Clone, Debug, Default)]
pub struct LineRedactor {
    pem_lines_left: u32,
}

impl LineRedactor {
    /// `line` without its secrets, given the lines before it.
    pub fn line<'a>(&mut self, redactor: &Redactor, line: &'a str) -> Cow<'a, str> {
        if self.pem_lines_left > 0 {
            self.pem_lines_left -= 1;
            if line.contains("-----END ") {
                self.pem_lines_left = 0;
                return Cow::Owned(Reason::Pem.marker());
            }
            if is_pem_line(line) {
                return Cow::Owned(Reason::Pem.marker());
            }
            self.pem_lines_left = 0;
        }
        let begins = line.rfind("-----BEGIN ").map(|at| at + "-----BEGIN ".len());
        if let Some(body) = begins.and_then(|label| pem_label_end(line, label)) {
            let ended = line.get(body..).is_some_and(|rest| rest.contains("-----END "));
            self.pem_lines_left = if ended { 0 } else { PEM_LINES_MAX };
        }
        redactor.text(line)
    }
}
