//! The token with which people log in to the page and programs use the API.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// 256 bits in hexadecimal digits.
const BYTES: usize = 32;

/// The token of a data directory.
pub(crate) fn read(data: &Path) -> io::Result<String> {
    let text = fs::read_to_string(data.join("token"))?.trim().to_owned();
    if text.len() < BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the file `token` is damaged; remove it to get a new one",
        ));
    }
    Ok(text)
}

/// The token of a data directory, made where there is none yet; readable by its owner only.
pub(crate) fn read_or_create(data: &Path) -> io::Result<String> {
    match read(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let text = random()?;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(data.join("token"))?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    Ok(text)
}

/// A new one, kept nowhere.
pub(crate) fn random() -> io::Result<String> {
    let mut bytes = [0; BYTES];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_and_is_for_its_owner() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let token = read_or_create(data.path()).expect("made");
        assert_eq!(token.len(), 2 * BYTES);
        assert_eq!(read_or_create(data.path()).expect("read"), token);
        let mode = fs::metadata(data.path().join("token")).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
