//! The workbench's page as bytes: `web/`, built by this crate's `build.rs` and embedded, so that one binary serves it offline.
//!
//! Knows nothing of HTTP, of the API, or of what the page shows.

/// A file of the page.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Where it is asked for: `/index.html`, `/assets/index-BwylM.js`.
    pub path: &'static str,
    /// As it is.
    pub body: &'static [u8],
    /// Compressed (RFC 1952), where that makes it smaller.
    pub gzip: Option<&'static [u8]>,
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// All files. There is always an `/index.html`: where the page could not be built, it says why.
pub fn files() -> &'static [File] {
    FILES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_and_it_finds_its_parts() {
        let index = files().iter().find(|file| file.path == "/index.html").expect("an index");
        let text = std::str::from_utf8(index.body).expect("text");
        let named: Vec<&str> = text.split('"').filter(|part| part.starts_with("/assets/")).collect();
        for part in &named {
            assert!(files().iter().any(|file| file.path == *part), "{part} is not there");
        }
        let required = std::env::var_os("FREEZEFRAME_REQUIRE_ALL").is_some_and(|required| required == "1");
        assert!(!required || named.len() >= 2, "the page was left out of this build: {text}");
    }

    #[test]
    fn what_is_compressed_is_the_same() {
        for file in files() {
            let Some(gzip) = file.gzip else { continue };
            assert!(gzip.len() < file.body.len() && gzip.starts_with(&[0x1f, 0x8b]), "{}", file.path);
            // The last four bytes are the length of what was compressed (RFC 1952, 2.3.1).
            let length = gzip.last_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
            assert_eq!(length, u32::try_from(file.body.len()).ok(), "{}", file.path);
        }
    }
}
