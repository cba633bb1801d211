//! Symbol names in the words of their language: Rust (v0 and legacy) and C++ (Itanium ABI), without parameters.

use std::fmt::{self, Write};

/// Names are cut at this many bytes: substitutions let a short hostile symbol expand without end.
const NAME_BYTES_MAX: usize = 4096;

/// The name as people write it; unchanged where it is not mangled.
pub(crate) fn demangle(name: &str) -> String {
    let mut text = Bounded::default();
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        // The alternate form leaves out hashes and crate disambiguators.
        let written = write!(text, "{rust:#}");
        if written.is_ok() || text.full {
            return text.text;
        }
    }
    if name.starts_with("_Z")
        && let Ok(symbol) = cpp_demangle::BorrowedSymbol::new(name.as_bytes())
    {
        let mut text = Bounded::default();
        let options = cpp_demangle::DemangleOptions::new().no_params().no_return_type();
        let written = symbol.structured_demangle(&mut text, &options);
        if written.is_ok() || text.full {
            return text.text;
        }
    }
    let mut text = Bounded::default();
    let _cut = text.write_str(name);
    text.text
}

#[derive(Default)]
struct Bounded {
    text: String,
    full: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = if self.full { 0 } else { NAME_BYTES_MAX.saturating_sub(self.text.len()) };
        let cut = (0..=left.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.text.push_str(text.get(..cut).unwrap_or_default());
        self.full |= cut < text.len();
        if self.full { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_three_languages() {
        assert_eq!(demangle("_RNvC6_123foo3bar"), "123foo::bar");
        assert_eq!(demangle("_ZN3foo3barE"), "foo::bar");
        assert_eq!(demangle("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE"), "core::fmt::Formatter::pad");
        assert_eq!(demangle("_ZNKSt6vectorIiSaIiEE4sizeEv"), "std::vector<int, std::allocator<int> >::size");
        assert_eq!(demangle("main"), "main");
    }

    proptest::proptest! {
        #[test]
        fn no_name_panics_or_grows(name in "(_R|_Z|)[A-Za-z0-9_.$]{0,200}") {
            assert!(demangle(&name).len() <= NAME_BYTES_MAX);
        }
    }
}
