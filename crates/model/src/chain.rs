//! The one form in which an error is told where only a text goes: to the log, to people, into `Loss::why`.

use std::error::Error;

/// An error with everything that caused it, in one line: `what: because: because`.
pub fn chain(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt;

    #[derive(Debug)]
    struct Because(&'static str, Option<Box<Because>>);

    impl fmt::Display for Because {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Because {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn every_cause_is_told_in_order() {
        let disk = Because("no space left", None);
        let write = Because("the row cannot be written", Some(Box::new(disk)));
        let error = Because("the incident cannot be stored", Some(Box::new(write)));
        let as_object: &dyn Error = &error;
        assert_eq!(
            chain(as_object),
            "the incident cannot be stored: the row cannot be written: no space left"
        );
        assert_eq!(chain(Because("alone", None)), "alone");
    }
}
